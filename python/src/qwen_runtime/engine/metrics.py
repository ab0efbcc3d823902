"""The `serving:*` recording rules, which dashboards and alerts read, made from the engines' own metrics.

A label `engine` of the engine's own counts its cores, as vLLM's own data parallelism does: rules fold it, and then it
names the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qwen_runtime.engine import registry
from qwen_runtime.engine.series import METRICS

# What the supervisor exports on its health port, whatever the engine.
SUPERVISOR = {
    "started_at:seconds": "qwen_runtime_started_at_seconds",
    "start_time:seconds": "qwen_runtime_start_seconds",
    "state": "qwen_runtime_state",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule of Prometheus."""

    record: str
    expression: str
    labels: dict[str, str]


def rules() -> Iterator[Rule]:
    """Every `serving:*` series that comes from engines, for each engine."""
    for engine, exported in registry.exported().items():
        label = {"engine": engine}
        for metric in METRICS:
            if name := exported.names.get(metric.serving):
                for part in metric.parts:
                    expression = f"{metric.fold} without (engine) ({name}{part})"
                    yield Rule(f"serving:{metric.serving}{part}", expression, label)
        finished = f'label_replace({exported.finished}, "finish_reason", "$1", "finished_reason", "(.*)")'
        yield Rule("serving:finished:total", f"sum without (engine, finished_reason) ({finished})", label)
    for engine, exported in registry.exported().items():
        for errors in exported.errors:
            expression = f"sum without ({', '.join(errors.summed)}) ({errors.counter}{{{errors.selector}}})"
            yield Rule("serving:errors:total", expression, {"engine": engine, "cause": errors.cause})
    for serving, name in SUPERVISOR.items():
        yield Rule(f"serving:{serving}", name, {})


def names(engine: str) -> set[str]:
    """The names that must stand in the engine's /metrics for its rules to have a value."""
    exported = registry.exported()[engine]
    parts = {f"{exported.names[m.serving]}{part}" for m in METRICS if m.serving in exported.names for part in m.parts}
    return parts | {exported.finished} | {errors.counter for errors in exported.errors}
