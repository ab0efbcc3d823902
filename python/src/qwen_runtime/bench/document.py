"""The JSON document of a run. Seconds, tokens and bytes are in the names of its keys."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from os import cpu_count
from typing import Any

from qwen_runtime import __version__
from qwen_runtime.bench import expectation
from qwen_runtime.bench.expectation import Planned
from qwen_runtime.bench.figures import Slo, first_token, mean_gap, whole
from qwen_runtime.endpoint.address import Description
from qwen_runtime.endpoint.exchange import Exchange, Outcome

FORMAT = 1
KIND = "bench"


def harness() -> dict[str, Any]:
    """The program that measures, and the machine that it runs on."""
    return {
        "qwen_runtime": __version__,
        "aiohttp": metadata.version("aiohttp"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": cpu_count(),
    }


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def subject(url: str, description: Description, hardware: str, gpus: int | None) -> dict[str, Any]:
    """The endpoint that is measured. Its hardware is what the person who measures says, or the plan's."""
    return {
        "endpoint": url,
        "model": description.model,
        "variant": description.variant,
        "engine_version": description.engine_version,
        "context_tokens": description.context_tokens,
        "hardware": hardware,
        "gpus": gpus,
    }


def expected(planned: Planned | None, in_flight: float) -> dict[str, Any] | None:
    return expectation.at(planned, in_flight) if planned else None


def requests(exchanges: Sequence[Exchange], slo: Slo) -> list[dict[str, Any]]:
    """One entry for each request, without its text: `compare` pairs runs by `item`."""
    return [_request(exchange, slo) for exchange in sorted(exchanges, key=lambda each: each.scheduled_s)]


def _request(exchange: Exchange, slo: Slo) -> dict[str, Any]:
    entry: dict[str, Any] = {"item": exchange.item, "outcome": exchange.outcome.value, "good": slo.holds(exchange)}
    if exchange.outcome is not Outcome.ANSWERED:
        return {**entry, "detail": exchange.detail, "retry_after_s": exchange.retry_after_s}
    gap = mean_gap(exchange)
    return {
        **entry,
        "first_token_s": round(first_token(exchange, exchange.scheduled_s), 6),
        "inter_token_s": None if gap is None else round(gap, 6),
        "end_to_end_s": round(whole(exchange), 6),
        "prompt_tokens": exchange.prompt_tokens,
        "output_tokens": exchange.output_tokens,
        "finish_reason": exchange.finish_reason,
        "wrong_usage": exchange.usage_is_wrong,
    }


def table(document: dict[str, Any]) -> list[str]:
    """Lines that show expectation, measurement and target side by side."""
    figures, planned, guide = document["figures"], document["expected"], document["guide"]
    rows = [
        ("first token, median (ms)", "ttft_s", _median(figures, "first_token_from_schedule_s"), guide["latency_s"]),
        ("between tokens, median (ms)", "inter_token_s", _median(figures, "inter_token_s"), None),
        ("output tokens/s", "output_tokens_per_s", figures["output_tokens_per_s"], None),
        (
            "output tokens/s per GPU",
            "output_tokens_per_s_per_gpu",
            figures["output_tokens_per_s_per_gpu"],
            guide["output_tokens_per_s_per_gpu"],
        ),
    ]
    lines = [f"{'':<30}{'planner':>12}{'measured':>12}{'guide':>12}"]
    for title, key, measured, target in rows:
        factor = 1000 if key.endswith("token_s") or key == "ttft_s" else 1
        cells = (planned and planned[key], measured, target)
        lines.append(f"{title:<30}" + "".join(f"{_cell(value, factor):>12}" for value in cells))
    return lines


def _median(figures: dict[str, Any], name: str) -> float | None:
    return figures[name]["p50"] if figures[name] else None


def _cell(value: float | None, factor: int) -> str:
    return "-" if value is None else f"{value * factor:.1f}"
