"""The search for the highest rate, over endpoints whose knee is known."""

from __future__ import annotations

import asyncio

import pytest
from qwen_runtime.bench import saturation
from qwen_runtime.bench.figures import Slo
from qwen_runtime.bench.runner import Run
from qwen_runtime.bench.saturation import MOST_STEPS, PRECISION, Search
from qwen_runtime.endpoint.exchange import Exchange

SEARCH = Search(Slo(0.5), 0.95, 10.0, 0.01)


def run_of(rate: float, count: int, knee: float, delay_s: float = 0.0) -> Run:
    """A queue that is served at the rate `knee`: the first token waits for everything before it."""
    run = Run(0.0, count / rate, [], [delay_s])
    for number in range(count):
        arrived = number / rate
        first = max(arrived, number / knee) + 0.1
        run.exchanges.append(
            Exchange(str(number), arrived, sent_s=arrived + delay_s, ended_s=first + 0.1, token_times_s=[first])
        )
    return run


def search(knee: float, first_rate: float = 1.0, delay_s: float = 0.0) -> dict[str, object]:
    async def step(rate: float, count: int, number: int) -> Run:
        return run_of(rate, count, knee, delay_s)

    return asyncio.run(saturation.find(SEARCH, first_rate, step))


@pytest.mark.parametrize(("knee", "first_rate"), [(10, 1.0), (3, 50.0), (160, 1.0), (0.7, 1.0)])
def test_the_search_ends_beside_the_knee(knee: float, first_rate: float) -> None:
    """Good means: the queue of the step's later half stays below the SLO, so the found rate may lie a little above."""
    found = search(knee, first_rate)
    assert found["limited_by"] == "endpoint"
    good, bad = found["highest_good_rate_per_s"], found["lowest_bad_rate_per_s"]
    assert isinstance(good, float)
    assert isinstance(bad, float)
    assert knee / PRECISION <= good <= knee * 1.3
    assert bad <= good * (PRECISION + 0.01)


def test_a_search_whose_client_is_late_says_so() -> None:
    found = search(1000, delay_s=0.02)
    assert (found["limited_by"], found["highest_good_rate_per_s"]) == ("client", None)


def test_a_search_that_is_bad_from_the_beginning_gives_up() -> None:
    found = search(0.001)
    assert (found["limited_by"], found["highest_good_rate_per_s"]) == ("endpoint", None)


def test_a_search_without_a_knee_ends() -> None:
    found = search(1e12, first_rate=0.001)
    assert found["limited_by"] == "steps"
    assert isinstance(found["steps"], list)
    assert len(found["steps"]) == MOST_STEPS
