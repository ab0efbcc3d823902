"""Asking the mirror, and nothing else, for everything that a site needs."""
