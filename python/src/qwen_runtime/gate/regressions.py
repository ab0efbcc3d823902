"""Figures that became worse, by the median of those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from qwen_runtime.gate.history import Figure

BEFORE = 6
"""Results that a figure is compared with: half a year of monthly ones, so that a slow decline shows too."""
HIGHER_IS_BETTER = (
    "pass_at_",
    "found_at_",
    "bleu",
    "rouge_",
    "identical_share",
    "slo_attainment",
    "output_tokens_per_s",
    "highest_good_rate",
)
LOWER_IS_BETTER = ("_s_p50", "perplexity", "bits_per_byte")
"""No 99th percentiles: that of a few hundred requests differs by itself."""
COUNTS = ("_fails",)
SPEED = ("bench", "saturation")


@dataclass(frozen=True, slots=True)
class Worse:
    figure: Figure
    of: Literal["answers", "speed"]
    ratio: float
    """Share of the median before that was lost, from 0 (nothing) to 1; a count that rose is 1."""


def worse(figures: Sequence[Figure]) -> list[Worse]:
    """The latest of each figure that has one before it, on the same hardware. `figures` are in order of time."""
    series: dict[tuple[str, str, str, str], list[Figure]] = {}
    for figure in figures:
        series.setdefault((figure.kind, figure.model, figure.hardware, figure.name), []).append(figure)
    found = []
    for earlier in series.values():
        *before, latest = earlier[-BEFORE - 1 :]
        ratio = _lost(latest.name, median(figure.value for figure in before), latest.value) if before else None
        if ratio is not None:
            found.append(Worse(latest, "speed" if latest.kind in SPEED else "answers", ratio))
    return found


def _lost(name: str, before: float, latest: float) -> float | None:
    """Share that was lost; None for a figure that is neither good nor bad."""
    if name.endswith(COUNTS):
        return float(latest > before)
    if name.startswith(HIGHER_IS_BETTER):
        return max(0.0, 1 - latest / before) if before > 0 else 0.0
    if name.endswith(LOWER_IS_BETTER):
        return max(0.0, 1 - before / latest) if latest > 0 else 0.0
    return None
