"""Shape of a stack's configuration: one frozen model for each of its keys."""
