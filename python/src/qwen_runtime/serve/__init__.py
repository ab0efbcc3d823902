"""`qwen-runtime serve`: checks, then an engine as a child, its health on a port of its own, and an orderly end."""
