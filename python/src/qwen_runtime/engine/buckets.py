"""Bounds of the engines' histograms of latency, in seconds.

They are those of vLLM 0.32 (vllm/v1/metrics/buckets.py). Engine transformers takes the same ones, so that quantiles and
shares below a threshold mean the same for both.
"""

from __future__ import annotations

REQUEST_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
BETWEEN_TOKENS_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
EDGES = {
    "time_to_first_token:seconds": FIRST_TOKEN_S,
    "inter_token_latency:seconds": BETWEEN_TOKENS_S,
    "request_latency:seconds": REQUEST_S,
}
"""Histogram, as Metric.serving names it, to the bounds that both engines write."""


def edge_label(seconds: float) -> str:
    """Value of the label `le`, as Python's client library writes it and Prometheus keeps it."""
    return str(float(seconds))
