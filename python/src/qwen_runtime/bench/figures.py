"""Figures of a run: latencies by both clocks, rates, goodput, and counts of everything that was no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen_runtime.bench.runner import Run
from qwen_runtime.endpoint.exchange import Exchange, Outcome
from qwen_runtime.errors import HostError

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits that a good answer keeps, in seconds; None sets no limit."""

    first_token_s: float | None = 0.5
    inter_token_s: float | None = None
    end_to_end_s: float | None = None

    def holds(self, exchange: Exchange) -> bool:
        """Whether the answer came within the limits, counted from the scheduled instant."""
        if exchange.outcome is not Outcome.ANSWERED:
            return False
        measured = (first_token(exchange, exchange.scheduled_s), mean_gap(exchange), whole(exchange))
        limits = (self.first_token_s, self.inter_token_s, self.end_to_end_s)
        return all(limit is None or (value or 0.0) <= limit for value, limit in zip(measured, limits, strict=True))


def first_token(exchange: Exchange, since_s: float) -> float:
    return exchange.token_times_s[0] - since_s


def whole(exchange: Exchange) -> float:
    return exchange.ended_s - exchange.scheduled_s


def mean_gap(exchange: Exchange) -> float | None:
    """Mean time between tokens; None for an answer of one token. Several tokens may come in one event."""
    tokens, times = exchange.output_tokens, exchange.token_times_s
    return (times[-1] - times[0]) / (tokens - 1) if tokens > 1 else None


def own_delay(run: Run) -> dict[str, float]:
    """99th percentiles of the client's own delays: of sending after the scheduled instant, and of noticing an event."""
    return {
        "send_p99_s": _percentile([e.sent_s - e.scheduled_s for e in run.exchanges], 99),
        "notice_p99_s": _percentile(run.loop_delays_s, 99),
    }


def refuse_if_late(run: Run, limit_s: float) -> None:
    """Raise HostError where the client was late: its delay would be reported as the endpoint's."""
    delays = own_delay(run)
    if max(delays.values()) > limit_s:
        raise HostError(
            f"a client that was late itself: at its 99th percentile {delays['send_p99_s'] * 1000:.1f} ms in sending "
            f"and {delays['notice_p99_s'] * 1000:.1f} ms in noticing events",
            f"at most {limit_s * 1000:.1f} ms of each; nothing is reported, since it would be the client's latency",
            "Measure from a machine with free cores, lower the load, or raise --own-delay-s and say so.",
        )


def refuse_if_empty(run: Run) -> None:
    """Raise HostError where no request was answered, so that there is nothing to report."""
    if not any(e.outcome is Outcome.ANSWERED for e in run.exchanges):
        counted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes(run.exchanges).items() if count)
        example = next((e.detail for e in run.exchanges if e.detail), "")
        raise HostError(
            f"no answer to {len(run.exchanges)} requests: {counted or 'none was sent'} ({example})",
            "at least one answer to measure",
            "Do what the endpoint says, or see whether it runs.",
        )


def outcomes(exchanges: Sequence[Exchange]) -> dict[str, int]:
    """Number of requests by their end."""
    counted = Counter(exchange.outcome for exchange in exchanges)
    return {outcome.value: counted[outcome] for outcome in Outcome}


def summary(run: Run, slo: Slo, gpus: int | None) -> dict[str, Any]:
    """The figures. Tokens of an answer whose usage is wrong are counted by its events."""
    answered = [e for e in run.exchanges if e.outcome is Outcome.ANSWERED]
    seconds = run.ended_s - run.started_s
    tokens = sum(e.output_tokens for e in answered)
    good = sum(slo.holds(e) for e in run.exchanges)
    return {
        "requests": len(run.exchanges),
        "outcomes": outcomes(run.exchanges),
        "length_cut": sum(e.finish_reason == "length" for e in answered),
        "wrong_usage": sum(e.usage_is_wrong for e in answered),
        "longest_retry_after_s": max(
            (e.retry_after_s for e in run.exchanges if e.retry_after_s is not None), default=None
        ),
        "duration_s": round(seconds, 3),
        "mean_in_flight": round(sum(e.ended_s - e.sent_s for e in run.exchanges) / seconds, 2),
        "prompt_tokens": sum(e.prompt_tokens or 0 for e in answered),
        "output_tokens": tokens,
        "requests_per_s": round(len(answered) / seconds, 3),
        "output_tokens_per_s": round(tokens / seconds, 2),
        "output_tokens_per_s_per_gpu": round(tokens / seconds / gpus, 2) if gpus else None,
        "goodput_requests_per_s": round(good / seconds, 3),
        "slo_attainment": round(good / len(run.exchanges), 4),
        "first_token_from_schedule_s": spread([first_token(e, e.scheduled_s) for e in answered]),
        "first_token_from_send_s": spread([first_token(e, e.sent_s) for e in answered]),
        "inter_token_s": spread([gap for e in answered if (gap := mean_gap(e)) is not None]),
        "longest_gap_s": spread([max(np.diff(e.token_times_s)) for e in answered if len(e.token_times_s) > 1]),
        "end_to_end_from_schedule_s": spread([whole(e) for e in answered]),
        "end_to_end_from_send_s": spread([e.ended_s - e.sent_s for e in answered]),
    }


def spread(values: Sequence[float]) -> dict[str, float | int] | None:
    """Mean, percentiles and maximum in the unit of the values; None where there are none."""
    if not values:
        return None
    at = np.percentile(values, PERCENTILES)
    named = {f"p{number}": round(float(value), 6) for number, value in zip(PERCENTILES, at, strict=True)}
    return {"count": len(values), "mean": round(float(np.mean(values)), 6), **named, "max": round(max(values), 6)}


def _percentile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 6) if values else 0.0
