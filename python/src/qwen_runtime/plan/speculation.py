"""Speculative decoding as a factor: a small model drafts tokens, and the large one checks several in one step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speculation:
    """Measured speed with drafts over speed without, for one request and for 32 in one engine."""

    alone: float
    together: float
    source: str

    def factor(self, batch: float) -> float:
        """The factor for so many requests, between the two by the logarithm: more requests leave less arithmetic idle
        for drafts."""
        share = min(math.log2(max(batch, 1.0)) / math.log2(MEASURED_BATCH), 1.0)
        return self.alone + (self.together - self.alone) * share


MEASURED_BATCH = 32
METHODS = {
    "eagle3": Speculation(
        1.37, 1.10, "Qwen3-Coder-Next in SGLang, https://huggingface.co/thoughtworks/Qwen3-Coder-Next-Eagle3"
    ),
}


def warning(method: str) -> str:
    known = METHODS[method]
    return (
        f"predicted with {method}: {known.alone:g} times the tokens to one user, {known.together:g} times at "
        f"{MEASURED_BATCH} requests in one engine ({known.source}). It needs a draft model trained for this model, "
        "which vLLM takes by --speculative-config after --; the plan's arguments have none"
    )
