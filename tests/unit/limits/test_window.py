"""The sum of any minute, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from qwen_runtime.limits.window import MINUTE_S, Window

times = st.lists(st.floats(0, 600, allow_nan=False), min_size=1, max_size=60).map(sorted)


@given(times, st.integers(1, 10), st.data())
def test_no_minute_holds_more_than_the_limit(asked_s: Sequence[float], limit: int, data: st.DataObject) -> None:
    window = Window()
    spent: list[tuple[float, int]] = []
    for now_s in asked_s:
        amount = data.draw(st.integers(1, limit))
        if window.wait_s(now_s, amount, limit) == 0:
            window.spend(now_s, amount)
            spent.append((now_s, amount))
    for end_s, _ in spent:
        assert sum(amount for at_s, amount in spent if end_s - MINUTE_S < at_s <= end_s) <= limit


@given(times, st.integers(1, 10))
def test_what_waits_as_long_as_it_is_told_is_admitted_and_no_sooner(asked_s: Sequence[float], limit: int) -> None:
    window = Window()
    for now_s in asked_s:
        wait_s = window.wait_s(now_s, 1, limit)
        if wait_s:
            assert window.wait_s(now_s + wait_s - 0.01, 1, limit) > 0 or wait_s < 0.02
            assert window.wait_s(now_s + wait_s + 0.01, 1, limit) == 0
            return
        window.spend(now_s, 1)


def test_a_corrected_amount_counts_from_the_time_of_its_estimate() -> None:
    window = Window()
    spent = window.spend(0, 900)
    window.correct(spent, 100)
    assert window.used(59) == 100
    assert window.wait_s(59, 950, 1000) == 1
    assert window.used(60) == 0


def test_a_correction_of_what_no_longer_counts_changes_nothing() -> None:
    window = Window()
    spent = window.spend(0, 900)
    window.spend(61, 5)
    assert window.used(61) == 5
    window.correct(spent, 2000)
    assert window.used(61) == 5
