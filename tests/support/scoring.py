"""Lines to score with tiny models of the families, and the outcome of the command that scores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINES = [
    {"text": "Stages hand activations on."},
    {"prompt": "A layer a", "continuation": " stage"},
    {"text": "x"},
    {"prompt": "def add(a, b):\n    return", "continuation": " a + b\n"},
    {"text": "Nothing is recomputed, and nothing is kept: a text is one pass from the first layer to the last."},
    {"prompt": "Grüße aus", "continuation": " Köln"},
]


@dataclass(frozen=True, slots=True)
class Models:
    folder: Path
    """Holds a directory for each family."""
    log_likelihoods: dict[str, list[float]]
    """Log-likelihood of each of LINES, by family."""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    errors: str
    document: dict[str, Any] | None
    """The output file's content; None where there is none."""


Score = Callable[..., Outcome]
