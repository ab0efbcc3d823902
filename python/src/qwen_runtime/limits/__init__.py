"""Limits of the clients' keys, counted in one process for all gateways: who may send a request, and what it cost."""
