"""What the engines' own metrics mean: the source of the `serving:*` recording rules, which dashboards and alerts read.

vLLM writes `vllm:NAME`; engine transformers writes what it has under the same names behind `transformers:`. A label
`engine` counts vLLM's engine cores (its own data parallelism): rules fold it, and then it names the engine.
Names are those of vLLM 0.32, and a test holds them to its recorded /metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PREFIXES = {"vllm": "vllm:", "transformers": "transformers:"}


@dataclass(frozen=True, slots=True)
class Metric:
    serving: str
    """Behind `serving:`, as `what:unit`."""
    name: str
    """Behind the engine's prefix; of a histogram, without _bucket, _sum and _count."""
    kind: Literal["gauge", "counter", "histogram"]
    fold: Literal["sum", "max"] = "sum"
    """How the engine cores of one server become one number."""
    engines: tuple[str, ...] = ("vllm", "transformers")
    """Who tells it."""

    @property
    def parts(self) -> tuple[str, ...]:
        return ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)


METRICS = (
    Metric("time_to_first_token:seconds", "time_to_first_token_seconds", "histogram"),
    Metric("inter_token_latency:seconds", "inter_token_latency_seconds", "histogram"),
    Metric("request_latency:seconds", "e2e_request_latency_seconds", "histogram"),
    Metric("queue_time:seconds", "request_queue_time_seconds", "histogram"),
    Metric("step_tokens:tokens", "iteration_tokens_total", "histogram"),
    Metric("step_requests:requests", "iteration_batch_size", "histogram", engines=("transformers",)),
    Metric("requests_running:requests", "num_requests_running", "gauge"),
    Metric("requests_waiting:requests", "num_requests_waiting", "gauge"),
    Metric("kv_cache_used:ratio", "kv_cache_usage_perc", "gauge", "max"),
    Metric("prompt_tokens:total", "prompt_tokens_total", "counter"),
    Metric("generation_tokens:total", "generation_tokens_total", "counter"),
    Metric("preemptions:total", "num_preemptions_total", "counter", engines=("vllm",)),
    Metric("load_time:seconds", "model_load_seconds", "gauge", "max", engines=("transformers",)),
    Metric("errors:total", "request_errors_total", "counter", engines=("transformers",)),
)
FINISHED = "request_success_total"
"""Counter of requests that ended, by finished_reason."""
# vLLM has no counter of errors by cause; what it has is read as one.
CAUSES = {"abort": "client_gone", "error": "engine"}
"""Reasons to end that are errors, and their cause."""
REFUSALS = {"4xx": "refused", "5xx": "server"}
"""Answers over HTTP that are errors, by class of status, and their cause; counted in REQUESTS."""
REQUESTS = "http_requests_total"
"""Counter of answers by handler and class of status; it has no prefix."""

# What the supervisor tells on its health port, whatever the engine.
SUPERVISOR = {"start_time:seconds": "qwen_runtime_start_seconds", "state": "qwen_runtime_state"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule of Prometheus."""

    record: str
    expression: str
    labels: dict[str, str]


def rules() -> Iterator[Rule]:
    """Every `serving:*` series that comes from engines, for each engine."""
    for engine, prefix in PREFIXES.items():
        label = {"engine": engine}
        for metric in METRICS:
            if engine in metric.engines:
                for part in metric.parts:
                    expression = f"{metric.fold} without (engine) ({prefix}{metric.name}{part})"
                    yield Rule(f"serving:{metric.serving}{part}", expression, label)
        finished = f'label_replace({prefix}{FINISHED}, "finish_reason", "$1", "finished_reason", "(.*)")'
        yield Rule("serving:finished:total", f"sum without (engine, finished_reason) ({finished})", label)
    yield from _errors_of_vllm()
    for serving, name in SUPERVISOR.items():
        yield Rule(f"serving:{serving}", name, {})


def _errors_of_vllm() -> Iterator[Rule]:
    for reason, cause in CAUSES.items():
        ended = f'{PREFIXES["vllm"]}{FINISHED}{{finished_reason="{reason}"}}'
        labels = {"engine": "vllm", "cause": cause}
        yield Rule("serving:errors:total", f"sum without (engine, finished_reason) ({ended})", labels)
    for status, cause in REFUSALS.items():
        answered = f'{REQUESTS}{{handler=~"/v1/.*",status="{status}"}}'
        labels = {"engine": "vllm", "cause": cause}
        yield Rule("serving:errors:total", f"sum without (handler, method, status) ({answered})", labels)


def names(engine: str) -> set[str]:
    """What must stand in the engine's /metrics for its rules to have a value."""
    prefix = PREFIXES[engine]
    found = {f"{prefix}{metric.name}{part}" for metric in METRICS if engine in metric.engines for part in metric.parts}
    return found | {f"{prefix}{FINISHED}"} | ({REQUESTS} if engine == "vllm" else set())
