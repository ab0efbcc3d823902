"""The number of replicas follows the work, and never falls because somebody cannot see it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import autoscaling
from tests.fakes.autoscaler import Autoscaler
from tests.support.autoscaled import Load, Service, Values

from .planned_stacks import Values as Stack
from .planned_stacks import with_entry

LEAST, MOST, TARGET, START_S = 1, 8, 12, 600
LOAD = Load(phase_s=900)
PEAK_S = 2 * LOAD.phase_s
"""Moment from which requests arrive at the highest rate."""
FIRST_S, TOKEN_S = 2.0, 0.075


@pytest.fixture
def spec(local: Stack) -> Any:
    bounds = {"min": LEAST, "max": MOST, "target": TARGET}
    values = with_entry(local, spareReplicas=0, autoscaling=bounds, startupSeconds=START_S, acceptOutage=True)
    return autoscaling.scaled_object(config.parse(values).models[0], "http://prometheus:9090")["spec"]


def served(spec: Any, **options: Any) -> Service:
    service = Service(replicas=2, start_s=START_S / 4, scaler=Autoscaler(spec), **options)
    service.run(LOAD)
    return service


def test_replicas_follow_the_requests_up_and_down_again(spec: Any) -> None:
    service = served(spec)
    counts = [count for _, count in service.counts]
    assert max(counts) > 3
    assert counts[-1] == LEAST
    assert service.share_within(FIRST_S, TOKEN_S) > 0.95
    assert service.replica_s < 0.8 * max(counts) * LOAD.duration_s


def lost(what: str, now_s: float, values: Values) -> Values | None:
    """The values that are still seen while something is gone for ten minutes at the peak."""
    if not PEAK_S + 60 <= now_s < PEAK_S + 660:
        return values
    return {
        "prometheus": {"demand": None, "kv-cache": None},
        "gateways": {**values, "demand": None},
        "replicas": {**values, "kv-cache": None},
        "keda": None,
    }[what]


@pytest.mark.parametrize("what", ["prometheus", "gateways", "replicas", "keda"])
def test_replicas_stay_while_somebody_is_blind_at_the_peak(spec: Any, what: str) -> None:
    service = served(spec, seen=lambda now_s, values: lost(what, now_s, values))
    before = max(count for at_s, count in service.counts if at_s < PEAK_S + 60)
    during = [count for at_s, count in service.counts if PEAK_S + 60 <= at_s < PEAK_S + 700]
    assert min(during) >= before - 1 > 3


def test_no_replica_ends_while_one_that_was_wanted_may_still_load(spec: Any) -> None:
    scaler, current, started_s = Autoscaler(spec), 2, 0.0
    for now_s in range(0, 1800, 15):
        demand = 5.0 * TARGET if now_s == 0 else 0.5 * TARGET
        wanted = scaler.step(now_s, {"demand": demand, "kv-cache": 0.1}, current)
        if wanted > current:
            started_s = now_s
        assert wanted >= current or now_s >= started_s + START_S, now_s
        current = wanted
    assert current == LEAST


def test_replicas_end_one_by_one(spec: Any) -> None:
    scaler, current, ends = Autoscaler(spec), MOST, []
    for now_s in range(0, 3600, 15):
        wanted = scaler.step(now_s, {"demand": 0.0, "kv-cache": 0.0}, current)
        assert wanted >= current - 1
        ends += [now_s] if wanted < current else []
        current = wanted
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(ends))
