"""Repair of GPU hosts: faults that monitoring saw, what a table says of each, and what is done about it."""
