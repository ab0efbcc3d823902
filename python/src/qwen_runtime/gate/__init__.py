"""Promotion: what a candidate must have shown, and the history of results and decisions."""
