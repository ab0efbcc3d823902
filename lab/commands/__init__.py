"""What `make` and molecule call: up, down, status, serve, serving, scratch, and the table of steps."""
