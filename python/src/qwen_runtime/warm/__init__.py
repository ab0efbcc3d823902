"""Requests that let an engine compile, before traffic, what it compiles only when it is first asked for it."""
