"""This machine: whether it is fit, what is installed on it, whose lab stands on it, and its kernel's settings."""
