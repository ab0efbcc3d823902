"""The use of each key, as series of Prometheus. Their labels are names of keys and of served models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from qwen_runtime.limits.lease import Usage

TOKENS = "qwen_limits_tokens_total"
REQUESTS = "qwen_limits_requests_total"
REFUSED = "qwen_limits_refused_total"
WAITED = "qwen_limits_waited_seconds_total"
IN_FLIGHT = "qwen_limits_in_flight"
WAITING = "qwen_limits_waiting"
_HELP = {
    TOKENS: ("counter", "Tokens of ended requests. The cached ones are part of the prompt."),
    REQUESTS: ("counter", "Ended requests: counted by the engine, estimated because they were cut, or without tokens."),
    REFUSED: ("counter", "Requests that were above a limit."),
    WAITED: ("counter", "Time that requests waited for a place at the model servers."),
    IN_FLIGHT: ("gauge", "Requests at the model servers."),
    WAITING: ("gauge", "Requests that wait for a place at the model servers."),
}


class Bill:
    """Counters since this process began."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in (TOKENS, REQUESTS, REFUSED)}
        self._waited_s: dict[str, float] = {}

    def used(self, key: str, model: str, usage: Usage, source: str) -> None:
        """`source` is counted, estimated or none."""
        for kind, count in (("prompt", usage.prompt), ("cached", usage.cached), ("generated", usage.generated)):
            self._counts[TOKENS][_labels(key=key, model=model, kind=kind)] += count
        self._counts[REQUESTS][_labels(key=key, model=model, usage=source)] += 1

    def refused(self, key: str, reason: str) -> None:
        self._counts[REFUSED][_labels(key=key, limit=reason)] += 1

    def waited(self, key: str, seconds: float) -> None:
        self._waited_s[key] = self._waited_s.get(key, 0.0) + seconds

    def text(self, in_flight: Mapping[str, int], waiting: Mapping[str, int]) -> str:
        """Everything in Prometheus' text format."""
        by_key = {WAITED: self._waited_s, IN_FLIGHT: in_flight, WAITING: waiting}
        gauges = {name: {_labels(key=key): value for key, value in of.items()} for name, of in by_key.items()}
        return "".join(line + "\n" for line in _lines({**self._counts, **gauges}))


def _lines(series: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for name, counts in series.items():
        kind, explanation = _HELP[name]
        yield f"# HELP {name} {explanation}"
        yield f"# TYPE {name} {kind}"
        yield from (f"{name}{labels} {count}" for labels, count in sorted(counts.items()))


def _labels(**labels: str) -> str:
    escaped = (
        (name, text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, text in labels.items()
    )
    return "{" + ",".join(f'{name}="{text}"' for name, text in escaped) + "}"
