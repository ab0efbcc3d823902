"""Comparison of two results, paired on the same items: a share that is kept, with an interval, and a verdict."""
