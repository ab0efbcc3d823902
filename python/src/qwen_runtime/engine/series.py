"""The metrics that the stack reads of every engine, whatever the engine calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    serving: str
    """Recorded name after `serving:`, as `what:unit`."""
    kind: Literal["gauge", "counter", "histogram"]
    fold: Literal["sum", "max"] = "sum"
    """How the engine cores of one server become one number."""

    @property
    def parts(self) -> tuple[str, ...]:
        return ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)


RUNNING, WAITING, STEP_TOKENS = "requests_running:requests", "requests_waiting:requests", "step_tokens:tokens"
"""The metrics by which the supervisor judges progress."""
METRICS = (
    Metric("time_to_first_token:seconds", "histogram"),
    Metric("inter_token_latency:seconds", "histogram"),
    Metric("request_latency:seconds", "histogram"),
    Metric("queue_time:seconds", "histogram"),
    Metric(STEP_TOKENS, "histogram"),
    Metric("step_requests:requests", "histogram"),
    Metric(RUNNING, "gauge"),
    Metric(WAITING, "gauge"),
    Metric("kv_cache_used:ratio", "gauge", "max"),
    Metric("prompt_tokens:total", "counter"),
    Metric("generation_tokens:total", "counter"),
    Metric("cached_prompt_tokens:total", "counter"),
    Metric("preemptions:total", "counter"),
    Metric("load_time:seconds", "gauge", "max"),
    Metric("errors:total", "counter"),
)


@dataclass(frozen=True, slots=True)
class Errors:
    """Requests with one cause of failure, among the samples of a counter that the engine keeps for something else."""

    cause: str
    counter: str
    """The whole name of the counter."""
    selector: str
    """Labels of the samples that count, as PromQL writes them within braces."""
    summed: tuple[str, ...]
    """Labels over which the samples are summed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The names under which an engine exports the metrics. A metric that it does not export is left out."""

    names: Mapping[str, str]
    """Metric.serving to the engine's whole name; of a histogram, without _bucket, _sum and _count."""
    finished: str
    """Counter of requests that ended, by the label finished_reason."""
    edges: Mapping[str, tuple[float, ...]]
    """Bounds of the buckets in seconds, by Metric.serving of each histogram that an objective may read."""
    errors: tuple[Errors, ...] = ()
    """Samples that stand for errors in an engine that has no counter of errors by cause."""
