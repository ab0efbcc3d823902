"""Verdicts from intervals, and how many more items an undecided comparison needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from qwen_runtime.compare.intervals import Interval, Values, kept, kept_of_counts, kept_of_times

LEAST_PAIRS = 20
"""Fewer pairs decide nothing."""
MOST_GROWTH = 64
"""Undecided comparisons look no further ahead than this many times their own size."""


class Verdict(str, Enum):
    BETTER = "better"
    """The whole interval is above 1."""
    KEPT = "kept"
    """The whole interval is above the share that must be kept."""
    WORSE = "worse"
    """The whole interval is below that share."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    pairs: int
    more_pairs: int | None
    """Pairs that are likely to decide it; None where it is decided, or where many times its size would not."""
    interval: Interval

    @property
    def promotes(self) -> bool:
        return self.verdict in (Verdict.BETTER, Verdict.KEPT)

    def __str__(self) -> str:
        if self.verdict is not Verdict.UNDECIDED:
            return str(self.verdict.value)
        more = f"{self.more_pairs} more" if self.more_pairs else f"more than {MOST_GROWTH} times as many"
        return f"undecided ({more})"


def judge(baseline: Values, candidate: Values, keep: float, *, times: bool = False) -> Judgement:
    """The verdict over pairs of scores where more is better, or of times, where less is."""
    interval = kept_of_times(baseline, candidate) if times else kept(baseline, candidate)
    pairs = len(baseline)
    verdict = _of(interval, keep) if pairs >= LEAST_PAIRS else Verdict.UNDECIDED
    more = _more(baseline, candidate, interval, keep) if verdict is Verdict.UNDECIDED else None
    return Judgement(verdict, pairs, more, interval)


def _of(interval: Interval, keep: float) -> Verdict:
    if interval.lower > 1:
        return Verdict.BETTER
    if interval.lower >= keep:
        return Verdict.KEPT
    return Verdict.WORSE if interval.upper < keep else Verdict.UNDECIDED


def _more(baseline: Values, candidate: Values, interval: Interval, keep: float) -> int | None:
    """Pairs beyond those there are, if the next ones are like them."""
    pairs = len(baseline)
    growth = max(1.0, LEAST_PAIRS / pairs)
    while growth <= MOST_GROWTH:
        if _of(_grown(baseline, candidate, interval, growth), keep) is not Verdict.UNDECIDED:
            return max(1, math.ceil(pairs * growth) - pairs)
        growth *= 1.05
    return None


def _grown(baseline: Values, candidate: Values, interval: Interval, growth: float) -> Interval:
    """The interval of a sample that is larger by a factor: exact from larger counts, or narrower by its root."""
    if interval.method == "exact":
        lost = float(np.sum((baseline == 1) & (candidate == 0)))
        won = float(np.sum((baseline == 0) & (candidate == 1)))
        return kept_of_counts(growth * float(baseline.sum()), growth * len(baseline), growth * lost, growth * won)
    narrower = math.sqrt(growth)
    below, above = interval.estimate - interval.lower, interval.upper - interval.estimate
    return Interval(interval.estimate - below / narrower, interval.estimate, interval.estimate + above / narrower, "")
