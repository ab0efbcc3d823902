"""Engines: each module of the registry turns an EngineSpec into a process to run. Supervision is the same for all."""
