"""Manifests and files as plain data, one part of the stack in each module."""
