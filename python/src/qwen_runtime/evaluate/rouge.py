"""ROUGE: how much of a reference's words, pairs of words and longest common sequence a text has.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries". Words are runs of letters and digits in lower case,
as in the package rouge-score without its stemmer; `tests/unit/evaluate/test_summaries.py` has figures of that package.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

WORD = re.compile(r"[a-z0-9]+")


def rouge(text: str, reference: str) -> dict[str, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, from 0 to 1."""
    words, wanted = (WORD.findall(one.lower()) for one in (text, reference))
    return {
        "rouge_1": _of_sequences(words, wanted, 1),
        "rouge_2": _of_sequences(words, wanted, 2),
        "rouge_l": _f_measure(_longest_common(words, wanted), len(words), len(wanted)),
    }


def _of_sequences(words: Sequence[str], wanted: Sequence[str], length: int) -> float:
    """F-measure of the sequences of `length` words, each counted as often as both have it."""
    found, needed = (
        Counter(tuple(one[start : start + length]) for start in range(len(one) - length + 1)) for one in (words, wanted)
    )
    return _f_measure((found & needed).total(), found.total(), needed.total())


def _f_measure(common: int, found: int, needed: int) -> float:
    return 2 * common / (found + needed) if common else 0.0


def _longest_common(words: Sequence[str], wanted: Sequence[str]) -> int:
    """Length of the longest sequence of words that both have in this order, with others between them."""
    row = [0] * (len(wanted) + 1)
    for word in words:
        before = row
        row = [0]
        for place, other in enumerate(wanted):
            row.append(before[place] + 1 if word == other else max(before[place + 1], row[place]))
    return row[-1]
