"""Evaluation of the answers of an endpoint: code that is run against its tests, in a sandbox."""
