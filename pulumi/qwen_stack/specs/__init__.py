"""Manifests and files as plain data. Each module builds one part of the stack."""
