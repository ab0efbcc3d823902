"""The text of /metrics, under vLLM's names with this engine's prefix.

vLLM has no counterpart of iteration_batch_size, kv_cache_reserved_perc, request_errors and model_load_seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from qwen_runtime.engine.buckets import BETWEEN_TOKENS_S, FIRST_TOKEN_S, REQUEST_S
from qwen_runtime.engine.transformers import PREFIX

# As in vLLM 0.32, like the bounds of latency.
STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FINISH_REASONS = ("stop", "length", "abort", "error")


class Metrics:
    def __init__(self, model_name: str) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "engine": "0"}
        histogram = functools.partial(self._make, Histogram)
        self.first_token = histogram("time_to_first_token_seconds", "Arrival to first token.", FIRST_TOKEN_S)
        self.between_tokens = histogram("inter_token_latency_seconds", "Between two tokens.", BETWEEN_TOKENS_S)
        self.whole = histogram("e2e_request_latency_seconds", "Arrival to last token.", REQUEST_S)
        self.queue = histogram("request_queue_time_seconds", "Arrival to the first step.", REQUEST_S)
        self.step_tokens = histogram("iteration_tokens_total", "Tokens of each step of the engine.", STEP_TOKENS)
        self.step_batch = histogram("iteration_batch_size", "Requests of each step of the engine.", BATCH)
        counter = functools.partial(self._make, Counter)
        self.prompt_tokens = counter("prompt_tokens", "Tokens of prompts that were computed.")
        self.generation_tokens = counter("generation_tokens", "Tokens of answers.")
        self.load = self._make(Gauge, "model_load_seconds", "Time that loading the weights took.")
        self._finished = self._family(Counter, "request_success", "Requests that ended, by reason.", "finished_reason")
        for reason in FINISH_REASONS:
            self.finished(reason, 0)
        self._errors = self._family(Counter, "request_errors", "Requests without an answer, by cause.", "cause")

    def finished(self, reason: str, count: int = 1) -> None:
        self._finished.labels(**self._labels, finished_reason=reason).inc(count)

    def error(self, cause: str) -> None:
        self._errors.labels(**self._labels, cause=cause).inc()

    def watch(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read at each request for /metrics."""
        self._make(Gauge, name, documentation).set_function(read)

    def text(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text

    def _family(self, kind: type, name: str, documentation: str, *labels: str, **options: object) -> Any:
        return kind(f"{PREFIX}:{name}", documentation, [*self._labels, *labels], registry=self._registry, **options)

    def _make(self, kind: type, name: str, documentation: str, buckets: Sequence[float] | None = None) -> Any:
        options = {"buckets": buckets} if buckets else {}
        return self._family(kind, name, documentation, **options).labels(**self._labels)
