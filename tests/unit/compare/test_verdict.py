"""Verdicts of single comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from qwen_runtime.compare import harm
from qwen_runtime.compare.intervals import Values, kept, kept_of_counts
from qwen_runtime.compare.verdict import Verdict, judge


def arms(both: int, lost: int, won: int, neither: int) -> tuple[Values, Values]:
    counts = [both, lost, won, neither]
    return np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((150, 0, 0, 14), Verdict.KEPT),
        ((60, 0, 30, 74), Verdict.BETTER),
        ((80, 40, 0, 44), Verdict.WORSE),
        ((110, 8, 6, 40), Verdict.UNDECIDED),
        ((10, 0, 0, 0), Verdict.UNDECIDED),
        ((0, 0, 0, 164), Verdict.UNDECIDED),
    ],
)
def test_the_verdict_is_what_the_interval_allows(counts: tuple[int, int, int, int], verdict: Verdict) -> None:
    assert judge(*arms(*counts), 0.95).verdict is verdict


def test_without_a_loss_the_bound_is_clopper_and_pearsons() -> None:
    """The exact bound of 0 in 100: 1 - 0.025 ** (1 / 100)."""
    assert kept_of_counts(100, 100, 0, 0).lower == pytest.approx(0.025 ** (1 / 100))


def test_an_undecided_comparison_says_how_many_more_and_that_many_like_them_decide_it() -> None:
    counts = np.array([110, 8, 8, 40])
    judgement = judge(*arms(*counts), 0.95)
    assert judgement.more_pairs
    assert str(judgement) == f"undecided ({judgement.more_pairs} more)"
    factor = (judgement.more_pairs + judgement.pairs) / judgement.pairs
    assert judge(*arms(*np.ceil(counts * factor * 1.1).astype(int)), 0.95).verdict is Verdict.KEPT


def test_a_truth_at_the_margin_is_said_to_stay_undecided() -> None:
    assert str(judge(*arms(95, 5, 0, 0), 0.95)) == "undecided (more than 64 times as many)"


def test_scores_between_right_and_wrong_get_a_bootstrap_interval_around_their_ratio() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.random(200)
    interval = kept(baseline, baseline * 0.9 + 0.02 * rng.random(200))
    assert interval.method == "bootstrap"
    assert interval.lower < interval.estimate < interval.upper
    assert interval.estimate == pytest.approx(0.92, abs=0.01)


def test_equal_values_have_an_interval_of_one_point() -> None:
    values = np.full(30, 0.5)
    assert (kept(values, values).lower, kept(values, values).upper) == (1, 1)


def test_evidence_of_harm_grows_with_losses_and_falls_with_wins() -> None:
    assert harm.evidence(0, 0) == pytest.approx(1)
    assert harm.evidence(7, 0) > harm.evidence(6, 0) > harm.evidence(6, 3) > harm.evidence(3, 6) > 0
    assert harm.is_shown(8, 0)
    assert not harm.is_shown(3, 0)
    assert harm.evidence(0, 5000) == pytest.approx(0)
