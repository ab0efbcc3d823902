"""Intervals for the share of the baseline that a candidate keeps: 1 is equal, above 1 is better.

The two bounds make an interval of 95 %. In simulations of arms whose truth is known a verdict was wrong in at most 5 %:
tests/unit/compare/test_truth.py.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

ERROR = 0.025
"""Rate at which one bound may lie on the wrong side of the truth, before the approximations below."""
RESAMPLES = 2000
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    lower: float
    estimate: float
    upper: float
    method: str


def kept(baseline: Values, candidate: Values, seed: int = 0) -> Interval:
    """Share of the baseline's mean that the candidate keeps, over pairs of scores where more is better."""
    if _binary(baseline) and _binary(candidate):
        lost = int(np.sum((baseline == 1) & (candidate == 0)))
        won = int(np.sum((baseline == 0) & (candidate == 1)))
        return kept_of_counts(int(baseline.sum()), len(baseline), lost, won)
    return _bootstrap(baseline, candidate, seed)


def kept_of_times(baseline: Values, candidate: Values) -> Interval:
    """The share of speed that is kept: the geometric mean of baseline over candidate, pair by pair, by Student's t of
    the logarithms. An item that is slow for both arms cancels, and a long tail has no weight of its own."""
    ratios = np.log(baseline / candidate)
    estimate = float(ratios.mean())
    spread = float(ratios.std(ddof=1)) if len(ratios) > 1 else math.inf
    reach = float(stats.t.ppf(1 - ERROR, len(ratios) - 1)) * spread / math.sqrt(len(ratios)) if spread else 0.0
    if math.isnan(reach) or math.isinf(reach):
        return Interval(0.0, math.exp(estimate), math.inf, "t of logarithms")
    return Interval(math.exp(estimate - reach), math.exp(estimate), math.exp(estimate + reach), "t of logarithms")


def kept_of_counts(passed: float, total: float, lost: float, won: float) -> Interval:
    """The share for answers that are right or wrong.

    passed: right ones of the baseline; lost: of those, wrong ones of the candidate; won: right ones of the candidate
    that the baseline has wrong. The share is 1 - lost / passed + won / passed. The two rates are independent binomials,
    given what the baseline has right. Each has Clopper and Pearson's exact bounds, and the bounds are joined by the
    method of variance estimates recovery (Zou and Donner 2008, doi:10.1002/sim.3095).
    """
    if not passed:
        return Interval(0.0, math.inf if won else 1.0, math.inf, "exact")
    failed = total - passed
    weight = failed / passed
    loss, gain = lost / passed, (won / failed if failed else 0.0)
    loss_low, loss_high = clopper_pearson(lost, passed)
    gain_low, gain_high = clopper_pearson(won, failed) if failed else (0.0, 0.0)
    estimate = 1 - loss + weight * gain
    below = math.hypot(loss_high - loss, weight * (gain - gain_low))
    above = math.hypot(loss - loss_low, weight * (gain_high - gain))
    return Interval(max(0.0, estimate - below), estimate, estimate + above, "exact")


def clopper_pearson(hits: float, total: float) -> tuple[float, float]:
    """Exact bounds of a rate, each with the error above. Counts need not be whole: a sample to come is estimated so."""
    low = special.betaincinv(hits, total - hits + 1, ERROR) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, total - hits, 1 - ERROR) if hits < total else 1.0
    return float(low), float(high)


def _bootstrap(baseline: Values, candidate: Values, seed: int) -> Interval:
    """The ratio of the means, by a paired bootstrap over the items (bias-corrected and accelerated)."""

    def share(before: Values, after: Values, axis: int = -1) -> Values:
        return np.asarray(after.mean(axis=axis) / before.mean(axis=axis), dtype=np.float64)

    estimate = float(share(baseline, candidate))
    if np.ptp(candidate - estimate * baseline) < 1e-12 * abs(float(baseline.mean())):
        return Interval(estimate, estimate, estimate, "bootstrap")  # every pair has the same ratio
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (baseline, candidate),
            share,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=1 - 2 * ERROR,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    low, high = (float(bound) for bound in found)
    if math.isnan(low) or math.isnan(high):
        low, high = 0.0, math.inf
    return Interval(low, estimate, high, "bootstrap")


def _binary(values: Values) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())
