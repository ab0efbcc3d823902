"""Commands of `make` and molecule: up, down, status, serve, serving, scratch; and the table of steps."""
