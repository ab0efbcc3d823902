"""The turns of requests that wait, with a clock that the test moves."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_runtime.limits.lease import Ask, Lease, Refusal, Usage
from qwen_runtime.limits.ledger import Ledger
from qwen_runtime.limits.rules import Limit, Rules

numbers = itertools.count()


def ledger(each: int = 4, **rules: Any) -> Ledger:
    given_rules = {"default": Limit(), "keys": {}, "queue_seconds": 30, "queue_requests": 500, **rules}
    return Ledger(Rules(requests_per_replica={"m": each}, **given_rules))


def ask(key: str, **fields: Any) -> Ask:
    return Ask(**{"id": f"r{next(numbers)}", "gateway": "one:1", "key": key, "model": "m", **fields})


def begin(accounts: Ledger, key: str, count: int, now_s: float = 0.0) -> list[Lease]:
    """Requests that are taken on, to go or to wait."""
    leases = [accounts.admit(ask(key), now_s) for _ in range(count)]
    assert all(isinstance(lease, Lease) for lease in leases)
    return [lease for lease in leases if isinstance(lease, Lease)]


def end(accounts: Ledger, lease: Lease, now_s: float = 1.0) -> list[str]:
    """Keys of the requests that go because one ended."""
    accounts.settle(lease.ask.id, Usage(), now_s)
    return [started.key for started in accounts.advance(now_s)]


def test_a_key_that_floods_leaves_a_place_in_which_another_goes_at_once() -> None:
    accounts = ledger(each=16)
    flood = begin(accounts, "flood", 200)
    assert sum(not lease.waits for lease in flood) == 14
    assert not any(lease.waits for lease in begin(accounts, "other", 2))
    assert all(lease.waits for lease in begin(accounts, "other", 1))


def test_the_key_with_the_fewest_in_flight_goes_first() -> None:
    accounts = ledger(each=6)
    running = begin(accounts, "a", 5)
    begin(accounts, "a", 3, 0.1)
    assert not begin(accounts, "b", 1, 0.2)[0].waits
    begin(accounts, "b", 2, 0.3)
    # One place of six is kept for keys that have nothing in flight.
    assert [end(accounts, lease) for lease in running[:3]] == [[], ["b"], ["a"]]


def test_among_equals_the_one_that_waits_longest_goes_first() -> None:
    accounts = ledger(each=1)
    [running] = begin(accounts, "a", 1)
    begin(accounts, "b", 2, 0.1)
    begin(accounts, "a", 3, 0.2)
    assert end(accounts, running) == ["b"]


def test_batch_goes_after_interactive_and_takes_no_place_that_is_kept() -> None:
    accounts = ledger(each=4, keys={"night": Limit(klass="batch")})
    night = begin(accounts, "night", 6)
    assert sum(not lease.waits for lease in night) == 3
    begin(accounts, "day", 3, 0.5)
    assert [end(accounts, lease) for lease in night[:3]] == [[], ["day"], ["day"]]
    assert accounts.places.in_flight["day"] == 3


def turns(accounts: Ledger, running: deque[Lease], going: dict[str, Lease], count: int) -> list[str]:
    """Keys whose requests go while the oldest of those in flight ends, again and again."""
    keys = []
    for _ in range(count):
        accounts.settle(running.popleft().ask.id, Usage(), 1.0)
        for started in accounts.advance(1.0):
            keys.append(started.key)
            running.append(going.pop(started.id))
    return keys


@pytest.mark.parametrize("each", [1, 2, 4, 16])
def test_batch_gets_every_eighth_turn_while_interactive_work_never_ends(each: int) -> None:
    accounts = ledger(each=each, keys={"night": Limit(klass="batch")})
    day = begin(accounts, "day", 100)
    going = {lease.ask.id: lease for lease in (*day, *begin(accounts, "night", 20))}
    running = deque(lease for lease in day if not lease.waits)
    assert turns(accounts, running, going, 24)[:24] == [*["day"] * 7, "night"] * 3


def test_batch_gets_its_turn_from_keys_that_are_served_at_once_too() -> None:
    accounts = ledger(each=16, keys={"night": Limit(klass="batch")})
    running = deque(lease for number in range(16) for lease in begin(accounts, f"key{number}", 1))
    going = {lease.ask.id: lease for lease in begin(accounts, "night", 9)}
    started = []
    for number in range(16, 40):
        accounts.settle(running.popleft().ask.id, Usage(), 1.0)
        [lease] = begin(accounts, f"key{number}", 1, 1.0)
        going[lease.ask.id] = lease
        started += [] if lease.waits else [lease.ask.key]
        started += [asked.key for asked in accounts.advance(1.0)]
        running.extend(going.pop(name) for name in list(going) if not going[name].waits)
    assert started.count("night") == 3


def test_batch_that_may_not_have_more_in_flight_holds_nobody_up() -> None:
    accounts = ledger(each=4, keys={"night": Limit(klass="batch", in_flight=1)})
    night, day = begin(accounts, "night", 5), begin(accounts, "day", 40)
    going = {lease.ask.id: lease for lease in (*night, *day)}
    assert turns(accounts, deque(lease for lease in day if not lease.waits), going, 20) == ["day"] * 20


def test_more_ready_replicas_let_more_go() -> None:
    accounts = ledger(each=4)
    begin(accounts, "a", 20)
    accounts.places.replicas["m"] = 2
    assert len(accounts.advance(1)) == 4
    accounts.places.replicas["m"] = 0
    assert accounts.advance(2) == []


def test_a_full_line_refuses_and_charges_nothing() -> None:
    accounts = ledger(each=2, queue_requests=1, default=Limit(requests_per_minute=3))
    begin(accounts, "a", 2)
    outcomes = [accounts.admit(ask("a"), 0) for _ in range(3)]
    assert [one.reason for one in outcomes if isinstance(one, Refusal)] == ["places"] * 3
    assert [left.remaining for _, left in accounts.left("a", 0)] == [1]


def test_who_leaves_the_line_has_spent_nothing() -> None:
    accounts = ledger(each=2, default=Limit(tokens_per_minute=100), answer_tokens=40)
    _, waiting = begin(accounts, "a", 2)
    assert waiting.waits
    assert accounts.give_up(waiting.ask.id)
    assert accounts.give_up(waiting.ask.id) is None
    assert accounts.line.waiting["a"] == 0
    assert [left.remaining for _, left in accounts.left("a", 0)] == [60]


actions = st.lists(st.tuples(st.sampled_from("aabbnelx"), st.floats(0, 3), st.integers(0, 40)), max_size=120)


@given(actions, st.integers(1, 9))
def test_places_are_never_exceeded_and_nobody_is_forgotten(happened: Any, each: int) -> None:
    keys = {"n": Limit(klass="batch", in_flight=2), "b": Limit(in_flight=3)}
    accounts = ledger(each=each, keys=keys, queue_requests=4)
    now_s, going, waiting = 0.0, [], []  # type: ignore[var-annotated]
    for action, after_s, which in happened:
        now_s += after_s
        accounts.heard("one", now_s)
        if action in "abn":
            outcome = accounts.admit(ask(action), now_s)
            if isinstance(outcome, Lease):
                (waiting if outcome.waits else going).append(outcome)
        elif action == "e" and going:
            accounts.settle(going.pop(which % len(going)).ask.id, Usage(), now_s)
        elif action == "l" and waiting:
            accounts.give_up(waiting.pop(which % len(waiting)).ask.id)
        elif action == "x":
            accounts.heard(f"one:{now_s}", now_s)
            going, waiting = [], []
        accounts.advance(now_s)
        going += [lease for lease in waiting if not lease.waits]
        waiting = [lease for lease in waiting if lease.waits]
        counts = {key: sum(lease.ask.key == key for lease in going) for key in "abn"}
        assert {key: accounts.places.in_flight[key] for key in "abn"} == counts
        assert sum(counts.values()) <= each
        assert (counts["n"] <= 2, counts["b"] <= 3) == (True, True)
        assert accounts.line.waiting.total() == len(waiting)
        assert going or not waiting, "a request waits though nothing is in flight"
    for lease in list(going):
        end(accounts, lease, now_s)
