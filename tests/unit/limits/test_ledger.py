"""The accounts of keys, with a clock that the test moves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_runtime.limits.lease import Ask, Lease, Refusal, Usage
from qwen_runtime.limits.ledger import GONE_S, LONGEST_LEASE_S, Ledger
from qwen_runtime.limits.rules import Limit, Rules

numbers = itertools.count()


def ledger(default: Limit, **keys: Limit) -> Ledger:
    return Ledger(Rules(default=default, keys=keys))


def ask(key: str = "team", **fields: Any) -> Ask:
    return Ask(**{"id": f"r{next(numbers)}", "gateway": "one:1", "key": key, "model": "m", **fields})


def goes(outcome: Lease | Refusal) -> bool:
    return isinstance(outcome, Lease) and not outcome.waits


def steps(most: int) -> st.SearchStrategy[list[tuple[str, float, int]]]:
    """Events of one key: a request, an end or a lost gateway, after some seconds."""
    kinds = st.sampled_from(["ask", "ask", "ask", "end", "crash"])
    return st.lists(st.tuples(kinds, st.floats(0, 30), st.integers(0, most)), max_size=80)


@given(steps(3), st.integers(1, 4))
def test_requests_in_flight_stay_within_the_limit_and_none_is_lost(happened: Any, limit: int) -> None:
    accounts = ledger(Limit(in_flight=limit))
    running: list[Ask] = []
    now_s, starts = 0.0, [1, 1]
    for kind, after_s, which in happened:
        now_s += after_s
        for number in (0, 1):
            accounts.heard(f"g{number}", now_s)
        accounts.sweep(now_s)
        if kind == "ask":
            gateway = which % 2
            request = ask(gateway=f"g{gateway}:{starts[gateway]}")
            refused = isinstance(accounts.admit(request, now_s), Refusal)
            assert refused == (len(running) >= limit)
            running += [] if refused else [request]
        elif kind == "end" and running:
            request = running.pop(which % len(running))
            accounts.settle(request.id, Usage(), now_s)
            accounts.settle(request.id, Usage(), now_s)
        elif kind == "crash":
            gateway = which % 2
            starts[gateway] += 1
            accounts.heard(f"g{gateway}:{starts[gateway]}", now_s)
            running = [one for one in running if not one.gateway.startswith(f"g{gateway}:")]
        assert accounts.places.in_flight["team"] == len(running) <= limit


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 300), st.integers(0, 300)), max_size=60))
def test_tokens_of_a_minute_stay_within_the_limit_where_no_request_uses_more_than_it_reserved(happened: Any) -> None:
    accounts = ledger(Limit(tokens_per_minute=500))
    now_s, used = 0.0, []
    for after_s, reserved, share in happened:
        now_s += after_s
        request = ask(answer_tokens=reserved)
        if isinstance(accounts.admit(request, now_s), Lease):
            actual = min(reserved, share)
            accounts.settle(request.id, Usage(generated=actual), now_s)
            used.append((now_s, actual))
    for end_s, _ in used:
        assert sum(tokens for at_s, tokens in used if end_s - 60 < at_s <= end_s) <= 500


def test_a_key_has_its_own_limit_or_the_default() -> None:
    accounts = ledger(Limit(in_flight=1), large=Limit(in_flight=2))
    for key, most in (("other", 1), ("another", 1), ("large", 2)):
        outcomes = [isinstance(accounts.admit(ask(key), 0.0), Lease) for _ in range(most + 1)]
        assert outcomes == [True] * most + [False], key


def test_a_refused_request_counts_against_no_limit() -> None:
    accounts = ledger(Limit(in_flight=1, requests_per_minute=2))
    first = ask()
    assert goes(accounts.admit(first, 0))
    refusals = [accounts.admit(ask(), 0) for _ in range(5)]
    assert {refusal.reason for refusal in refusals if isinstance(refusal, Refusal)} == {"in_flight"}
    accounts.settle(first.id, Usage(), 1)
    assert goes(accounts.admit(ask(), 1))


def test_a_gateway_that_is_silent_loses_what_it_had() -> None:
    accounts = ledger(Limit(in_flight=1))
    accounts.admit(ask(), 0)
    accounts.sweep(GONE_S)
    assert accounts.places.in_flight["team"] == 1
    accounts.sweep(GONE_S + 1)
    assert accounts.places.in_flight["team"] == 0


def test_a_request_whose_end_was_lost_ends_by_its_age() -> None:
    accounts = ledger(Limit(in_flight=1))
    accounts.admit(ask(), 0)
    accounts.heard("one", LONGEST_LEASE_S + 1)
    accounts.sweep(LONGEST_LEASE_S + 1)
    assert goes(accounts.admit(ask(), LONGEST_LEASE_S + 1))


def test_an_end_that_overtakes_its_request_ends_it() -> None:
    accounts = ledger(Limit(in_flight=1))
    request = ask()
    accounts.settle(request.id, Usage(), 0)
    accounts.admit(request, 0.1)
    assert accounts.places.in_flight["team"] == 0


def test_ended_requests_are_not_remembered_for_ever() -> None:
    accounts = ledger(Limit(in_flight=1))
    request = ask()
    accounts.settle(request.id, Usage(), 0)
    accounts.settle("other", Usage(), 50)
    accounts.sweep(61)
    assert goes(accounts.admit(request, 61))
    assert accounts.places.in_flight["team"] == 1


def test_a_lost_request_keeps_its_reservation_since_nobody_knows_what_it_used() -> None:
    accounts = ledger(Limit(tokens_per_minute=1000))
    accounts.admit(ask(answer_tokens=900), 0)
    accounts.heard("one:2", 1)
    refusal = accounts.admit(ask(gateway="one:2", answer_tokens=900), 2)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_s == pytest.approx(58)


def test_a_request_that_can_never_fit_is_not_asked_to_wait() -> None:
    refusal = ledger(Limit(tokens_per_minute=1000)).admit(ask(body_bytes=3000, answer_tokens=1), 0)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_s is None
    assert "1001 tokens" in refusal.message


def test_an_answer_without_a_bound_reserves_what_the_site_says() -> None:
    accounts = Ledger(Rules(default=Limit(), keys={}, answer_tokens=50))
    assert accounts.reservation(ask(body_bytes=30)) == 60
    assert accounts.reservation(ask(body_bytes=31, answer_tokens=7)) == 18
