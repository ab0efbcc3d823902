"""Batches: spans that are computed together. Every micro-batch of a batch has the same shape, as a pipeline needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    rows: int
    """Spans of each micro-batch; the last one may have fewer."""
    width: int
    """Tokens of the longest span."""
    micro_batches: tuple[tuple[int, ...], ...]
    """Indices of spans."""


def divide(lengths: Sequence[int], micro_batches: int, batch_tokens: int) -> list[Batch]:
    """Divides spans by falling length, so that little is padded and the largest batch comes first."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches = []
    while order:
        width = lengths[order[0]]
        most = max(batch_tokens // width, 1) * micro_batches
        taken, order = order[:most], order[most:]
        rows = -(-len(taken) // micro_batches)  # so that the last batch fills the pipeline too
        parts = tuple(tuple(taken[begin : begin + rows]) for begin in range(0, len(taken), rows))
        batches.append(Batch(rows, width, parts))
    return batches
