"""Serving of Qwen models on premises: catalogue, weights, engines, supervision."""

__version__ = "0.1.0"
