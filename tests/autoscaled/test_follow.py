"""Replicas of the lab's engine rise with the requests in flight, and fall without a cut stream."""

from __future__ import annotations

import time

from tests.support.followed import REPLICAS_BEFORE, Followed, People, demand_is, measured
from tests.support.waiting import wait_until

# For 1 to 3 replicas, each for 3 requests in flight: conftest.py.
BEYOND_THE_BOUND, FOR_TWO = 12, 6
START_S = 400
"""Patience with the start of an engine beside others on two cores."""


def test_1_turning_it_on_ends_no_replica(followed: Followed) -> None:
    assert {count for _, count in followed.counts} == {REPLICAS_BEFORE}, followed.counts


def test_2_replicas_rise_with_the_requests_in_flight_and_their_bound_is_told(
    followed: Followed, people: People
) -> None:
    with people.streaming(BEYOND_THE_BOUND):
        wait_until(lambda: followed.wanted() == 3, "three wanted replicas")
        # The alert holds for ten minutes before it is sent; test_scaling_rules.py holds that in promtool.
        told = 'ALERTS{alertname="ReplicasExhausted",server="model-server"}'
        wait_until(lambda: measured(told), "a bound that is told")
        wait_until(lambda: followed.ready() == 3, "three ready replicas", START_S)
    assert people.load.failures == []


def test_3_they_fall_once_the_load_is_forgotten_and_no_stream_is_cut(followed: Followed, people: People) -> None:
    with people.streaming(FOR_TWO):
        wait_until(lambda: demand_is(1, FOR_TWO), "a demand for two replicas")
        time.sleep(30)  # two looks of the autoscaler
        assert followed.wanted() == 3, "it remembers the load for as long as a start may take"
        followed.remember_for(5)
        wait_until(lambda: followed.wanted() == 2, "the end of a replica")
        wait_until(lambda: len(followed.pods()) == 2, "its last answer")
    assert people.load.failures == []
    assert people.load.succeeded["stream"] > FOR_TWO
