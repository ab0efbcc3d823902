"""Agreement of two models: the share of places of the same texts in which both have the same likeliest token."""

from __future__ import annotations

from typing import Any

import numpy as np

from qwen_runtime.compare import intervals

Entries = dict[str, dict[str, Any]]


def of(baseline: Entries, candidate: Entries) -> dict[str, Any] | None:
    """The share with its interval over texts; None where no text has likeliest tokens of both, of one vocabulary."""
    counted = [
        (len(before), sum(one == other for one, other in zip(before, after, strict=True)))
        for item in sorted(baseline.keys() & candidate.keys())
        if (before := _likeliest(baseline[item])) and len(before) == len(after := _likeliest(candidate[item]))
    ]
    if not counted:
        return None
    places, same = np.array(counted, dtype=np.float64).T
    found = intervals.kept(places, same)
    return {
        "texts": len(counted),
        "places": int(places.sum()),
        "share": round(found.estimate, 5),
        "interval": [round(found.lower, 5), round(found.upper, 5)],
    }


def told(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return (
        f"the same likeliest token in {found['share']:.2%} of {found['places']} places of {found['texts']} texts "
        f"({low:.2%} to {high:.2%})"
    )


def _likeliest(entry: dict[str, Any]) -> list[str]:
    return str(entry.get("likeliest", "")).split()
