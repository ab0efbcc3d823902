"""Engines: each module turns an EngineSpec into a process to run. Supervision is the same for all of them."""
