"""Replicas of the lab's engine stay at peak while nobody sees the work, and fall once it is seen that there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from lab.cluster import keda, stack
from tests.support.followed import (
    PRESSURE,
    Followed,
    Kubectl,
    People,
    demand_is,
    deployment_away,
    measured,
    metrics_away,
)
from tests.support.waiting import wait_until

Away = Callable[[Kubectl, Followed], AbstractContextManager[None]]
FOR_TWO = 6
MEMORY_S = 20
"""Memory of the autoscaler, in place of the longest start."""
UNSEEN_S = 60
"""Time without sight, which stands for longer ones: the memory has passed, and KEDA has failed three times in a row."""
SEEN_AGAIN_S = 180


def without_prometheus(kubectl: Kubectl, followed: Followed) -> AbstractContextManager[None]:
    return deployment_away(kubectl, stack.NAMESPACE, "prometheus")


def without_keda(kubectl: Kubectl, followed: Followed) -> AbstractContextManager[None]:
    return deployment_away(kubectl, keda.NAMESPACE, keda.DEPLOYMENTS[0])


def without_one_replica(kubectl: Kubectl, followed: Followed) -> AbstractContextManager[None]:
    return metrics_away(kubectl, followed.pods()[0])


@pytest.mark.parametrize("away", [without_one_replica, without_keda, without_prometheus])
def test_at_peak_nothing_ends_that_is_not_seen(
    kubectl: Kubectl, followed: Followed, people: People, away: Away
) -> None:
    followed.remember_for(MEMORY_S)
    with people.streaming(FOR_TWO):
        wait_until(
            lambda: demand_is(FOR_TWO - 1) and followed.wanted() == followed.ready() == 2, "two replicas at peak"
        )
        with away(kubectl, followed):
            unseen = time.monotonic() + UNSEEN_S
            wait_until(lambda: away is without_keda or measured(PRESSURE) is None, "caches that nobody sees")
            while time.monotonic() < unseen:
                assert followed.wanted() == 2
                time.sleep(1)
        wait_until(lambda: demand_is(1) and measured(PRESSURE) is not None, "all of it seen again", SEEN_AGAIN_S)
    assert people.load.failures == []


def test_once_it_is_seen_that_there_is_no_work_a_replica_ends(followed: Followed) -> None:
    followed.remember_for(MEMORY_S)
    wait_until(lambda: followed.wanted() == 1, "the end of a replica", SEEN_AGAIN_S)
