"""One ComponentResource in each module."""
