"""Commands of `make` and molecule: up, down, status, serve, serving, clients, scratch; and the table of steps."""
