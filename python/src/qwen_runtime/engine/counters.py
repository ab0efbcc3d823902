"""Reads the counters by which progress is judged. Engines name them alike, each under a prefix of its own."""

from __future__ import annotations

import re

from qwen_runtime.engine.spec import Progress


def read(metrics: str, prefix: str) -> Progress:
    requests = _values(metrics, f"{prefix}:num_requests_(?:running|waiting)")
    # Counts every step's tokens, so that it moves through a long prompt too, before the first token of an answer.
    tokens = _values(metrics, f"{prefix}:iteration_tokens_total_sum")
    return Progress(int(sum(requests)) if requests else None, sum(tokens) if tokens else None)


def _values(metrics: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)]
