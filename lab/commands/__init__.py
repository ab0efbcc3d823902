"""Commands of `make` and molecule: up, down, status, serve, serving, clients, keda, scratch; and the table of steps."""
