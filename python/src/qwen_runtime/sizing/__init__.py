"""Sizes: models and GPUs known by name, the ways to divide a model over GPUs, and the bytes that each GPU then holds.

Engines and the planner both stand on these modules, which know nothing of either.
"""
