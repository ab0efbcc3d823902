"""Rules between the keys of a configuration. Each yields the problems that it finds."""
