"""Commands of `make` and molecule: up, down, status, serve, serving, clients, keda, logs, scratch; a table of steps."""
