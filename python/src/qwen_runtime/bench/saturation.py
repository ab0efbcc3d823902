"""Search for the highest rate of arrivals at which an endpoint still keeps its SLO. It ends by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from qwen_runtime.bench.figures import Slo, own_delay
from qwen_runtime.bench.runner import Run

PRECISION = 1.15
"""The search ends when the lowest bad rate is at most this many times the highest good one."""
MOST_STEPS = 16
LEAST_REQUESTS = 20
LOWEST_SHARE = 1 / 32
"""The search gives up below this share of its first rate: 20 arrivals would take too long there."""


@dataclass(frozen=True, slots=True)
class Search:
    slo: Slo
    attainment: float
    """Share of requests that must keep the SLO."""
    step_s: float
    own_delay_s: float

    def judge(self, run: Run) -> float:
        """Share of good requests in the later half of the arrivals: a queue that grows shows there."""
        by_arrival = sorted(run.exchanges, key=lambda exchange: exchange.scheduled_s)
        later = by_arrival[len(by_arrival) // 2 :]
        return sum(self.slo.holds(exchange) for exchange in later) / len(later)


Step = Callable[[float, int, int], Awaitable[Run]]
"""Runs one step: rate in arrivals a second, number of sessions, number of the step."""


async def find(search: Search, first_rate: float, step: Step) -> dict[str, Any]:
    """The highest good rate and the lowest bad one. The rate doubles until one is bad, then the gap is halved."""
    good, bad = 0.0, float("inf")
    rate, steps, limited_by = first_rate, [], "steps"
    for number in range(MOST_STEPS):
        run = await step(rate, max(LEAST_REQUESTS, round(rate * search.step_s)), number)
        late = max(own_delay(run).values()) > search.own_delay_s
        share = search.judge(run)
        steps.append({"rate_per_s": round(rate, 3), "slo_attainment": round(share, 4), "client_late": late})
        if late:
            limited_by = "client"
            break
        if share >= search.attainment:
            good = rate
        else:
            bad = rate
        if bad <= good * PRECISION or bad < first_rate * LOWEST_SHARE:
            limited_by = "endpoint"
            break
        rate = rate * 2 if bad == float("inf") else (good + bad) / 2
    return {
        "highest_good_rate_per_s": round(good, 3) or None,
        "lowest_bad_rate_per_s": None if bad == float("inf") else round(bad, 3),
        "limited_by": limited_by,
        "steps": steps,
    }
