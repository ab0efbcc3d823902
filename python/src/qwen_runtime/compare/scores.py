"""Scores of an item, and the pairs of two results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen_runtime.compare.intervals import Values

Entry = dict[str, Any]
NO_ANSWER = ("refused", "failed", "unreachable", "stalled", "dropped", "malformed", "limited", "error")
"""Ends of a request that say nothing of the answer; in a load they still miss the SLO."""


@dataclass(frozen=True, slots=True)
class Score:
    name: str
    of: Callable[[Entry], float | None]
    """The score of an entry; None where it has none, so that its pair is left out."""
    is_time: bool = False
    """Whether less is better, as of times and of what a byte costs."""


def _good(entry: Entry) -> float:
    return float(bool(entry["good"]))


def _number(name: str) -> Callable[[Entry], float | None]:
    return lambda entry: entry.get(name) or None


def _share(name: str) -> Callable[[Entry], float | None]:
    """A score from 0 to 1, where 0 is a score too."""
    return lambda entry: None if entry.get(name) is None else float(entry[name])


SCORES = {
    "bench": (
        Score("slo_attainment", _good),
        Score("first_token_s", _number("first_token_s"), is_time=True),
        Score("inter_token_s", _number("inter_token_s"), is_time=True),
        Score("end_to_end_s", _number("end_to_end_s"), is_time=True),
    ),
    "humaneval": (Score("pass_at_1", _share("score")),),
    "retrieval": (Score("found", _share("score")),),
    "summaries": (Score("bleu", _share("bleu")), Score("rouge_l", _share("rouge_l"))),
    "perplexity": (Score("bits_per_byte", _number("bits_per_byte"), is_time=True),),
}


@dataclass(frozen=True, slots=True)
class Pairs:
    """The scores of the items that both results have, in one order."""

    baseline: Values
    candidate: Values
    left_out: int
    """Items that one of the results lacks, or has no score for."""


def pair(score: Score, baseline: dict[str, Entry], candidate: dict[str, Entry]) -> Pairs:
    both = [
        (before, after)
        for item in sorted({*baseline, *candidate})
        if (before := _score(score, baseline.get(item))) is not None
        and (after := _score(score, candidate.get(item))) is not None
    ]
    values = np.array(both, dtype=np.float64).reshape(-1, 2)
    return Pairs(values[:, 0], values[:, 1], len({*baseline, *candidate}) - len(both))


def _score(score: Score, entry: Entry | None) -> float | None:
    return None if entry is None else score.of(entry)


def counts(items: dict[str, Entry]) -> dict[str, int]:
    """Counts that are never a score: no answer, an empty one, one that was cut at its length."""
    ends = [end for entry in items.values() for end in entry.get("samples", [entry])]
    return {
        "error": sum(end["outcome"] in NO_ANSWER for end in ends),
        "empty": sum(end["outcome"] == "empty" for end in ends),
        "length_cut": sum(end.get("finish_reason") == "length" for end in ends),
    }
