"""Serving of Qwen models on premises: catalogue, weights, engines, supervision."""

# The version of the whole project, which the wheel, the command and CHANGELOG.md have in common.
__version__ = "0.1.0"
