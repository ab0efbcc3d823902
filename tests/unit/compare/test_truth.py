"""The statistics, over synthetic arms whose truth is known: how often a verdict is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from qwen_runtime.compare import harm
from qwen_runtime.compare.intervals import Values
from qwen_runtime.compare.verdict import Judgement, Verdict, judge

KEEP = 0.95
RUNS = 400
MOST_WRONG = 0.05
# Items, share that the baseline has right, and pairs that differ either way beside the difference of the arms.
ARMS = [(164, 0.707, 0.0), (164, 0.707, 0.06), (164, 0.9, 0.02), (164, 0.97, 0.02), (820, 0.9, 0.06), (820, 0.5, 0.02)]


def rights(rng: np.random.Generator, items: int, passed: float, kept: float, noise: float) -> tuple[Values, Values]:
    """Right and wrong answers of a baseline and of a candidate that truly keeps the share `kept`."""
    lost = passed * (1 - kept) + noise
    draws = rng.choice(4, size=items, p=[passed - lost, lost, noise, 1 - passed - noise])
    return np.isin(draws, (0, 1)).astype(np.float64), np.isin(draws, (0, 2)).astype(np.float64)


def times(rng: np.random.Generator, items: int, kept: float) -> tuple[Values, Values]:
    """Latencies of two arms on the same items: long-tailed, alike in what the item costs."""
    item = rng.lognormal(0, 0.8, items)
    return item * rng.lognormal(0, 0.2, items), item * rng.lognormal(0, 0.2, items) / kept


def share(judgements: list[Judgement], *verdicts: Verdict) -> float:
    return sum(judgement.verdict in verdicts for judgement in judgements) / len(judgements)


@pytest.mark.parametrize(("items", "passed", "noise"), ARMS)
def test_a_candidate_at_the_margin_is_promoted_by_mistake_at_most_once_in_twenty(
    items: int, passed: float, noise: float
) -> None:
    rng = np.random.default_rng(1)
    judged = [judge(*rights(rng, items, passed, KEEP, noise), KEEP) for _ in range(RUNS)]
    assert share(judged, Verdict.KEPT, Verdict.BETTER) <= MOST_WRONG


@pytest.mark.parametrize(("items", "passed", "noise"), ARMS)
def test_an_equal_candidate_is_refused_or_called_better_at_most_once_in_twenty(
    items: int, passed: float, noise: float
) -> None:
    rng = np.random.default_rng(2)
    judged = [judge(*rights(rng, items, passed, 1.0, noise), KEEP) for _ in range(RUNS)]
    assert share(judged, Verdict.WORSE) <= MOST_WRONG
    assert share(judged, Verdict.BETTER) <= MOST_WRONG


def test_more_items_decide_what_few_leave_undecided() -> None:
    rng = np.random.default_rng(3)
    undecided = {}
    for items in (164, 820, 3280):
        judged = [judge(*rights(rng, items, 0.707, 1.0, 0.06), KEEP) for _ in range(100)]
        undecided[items] = share(judged, Verdict.UNDECIDED)
    assert undecided[164] > 0.5 > undecided[820] > undecided[3280]
    assert undecided[3280] == 0


def test_latencies_are_promoted_or_refused_by_mistake_at_most_once_in_twenty() -> None:
    rng = np.random.default_rng(4)
    at_the_margin = [judge(*times(rng, 150, KEEP), KEEP, times=True) for _ in range(RUNS)]
    assert share(at_the_margin, Verdict.KEPT, Verdict.BETTER) <= MOST_WRONG
    equal = [judge(*times(rng, 150, 1.0), KEEP, times=True) for _ in range(RUNS)]
    assert share(equal, Verdict.WORSE, Verdict.BETTER) <= MOST_WRONG
    assert share(equal, Verdict.KEPT) > 0.5


def test_several_samples_of_each_problem_are_promoted_or_refused_by_mistake_at_most_once_in_twenty() -> None:
    rng = np.random.default_rng(5)
    wrong = {"promoted": 0, "refused": 0}
    for _ in range(100):
        problems = rng.beta(1.2, 0.5, 164)
        baseline = rng.binomial(5, problems) / 5
        worse, equal = rng.binomial(5, KEEP * problems) / 5, rng.binomial(5, problems) / 5
        wrong["promoted"] += judge(baseline, worse, KEEP).promotes
        wrong["refused"] += judge(baseline, equal, KEEP).verdict is Verdict.WORSE
    assert max(wrong.values()) / 100 <= MOST_WRONG


def test_a_harmless_candidate_is_stopped_at_most_once_in_twenty_however_often_it_is_looked_at() -> None:
    rng = np.random.default_rng(6)
    stopped = 0
    for _ in range(500):
        lost = np.cumsum(rng.random(200) < 0.5)
        stopped += any(harm.is_shown(int(count), number + 1 - int(count)) for number, count in enumerate(lost))
    assert stopped / 500 <= harm.ERROR


def test_a_candidate_that_loses_four_of_five_differing_pairs_is_stopped_soon() -> None:
    rng = np.random.default_rng(7)
    looks = []
    for _ in range(100):
        lost = np.cumsum(rng.random(200) < 0.8)
        looks.append(next(n for n, count in enumerate(lost) if harm.is_shown(int(count), n + 1 - int(count))))
    assert np.median(looks) < 40
