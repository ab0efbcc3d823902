"""Scores of tokens, from logits. Shapes: r rows, w tokens (the width), v entries of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from qwen_runtime.engine.score.batches import Batch

if TYPE_CHECKING:
    from qwen_runtime.engine.score.texts import Span

PADDING = 0
"""Any token will do: in a causal model a later token has no influence on those before it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a span, one for each of its scored tokens."""

    log_probs: tuple[float, ...]
    """Natural logarithms."""
    best: tuple[int, ...]
    """The most likely token in its place."""


def tensors(batch: Batch, spans: Sequence[Span], device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and the tokens that follow them, [r, w] each, for every micro-batch."""
    pairs = []
    for part in batch.micro_batches:
        inputs = torch.full((batch.rows, batch.width), PADDING)
        following = torch.full((batch.rows, batch.width), PADDING)
        for row, index in enumerate(part):
            sequence = torch.tensor((*spans[index].inputs, spans[index].scored[-1]))
            length = len(sequence) - 1
            inputs[row, :length], following[row, :length] = sequence[:-1], sequence[1:]
        pairs.append((inputs.to(device), following.to(device)))
    return pairs


def judge(logits: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """[r, w, v] and [r, w] to [2, r, w]: log-probability of the following token, and the most likely token.

    float64 holds both. It goes row by row, since in float32 the logits of a row alone may take hundreds of megabytes.
    """
    judged = torch.empty((2, *following.shape), dtype=torch.float64, device=logits.device)
    for row, tokens in enumerate(following):
        scores = logits[row].float()
        chosen = scores.gather(-1, tokens[:, None])[:, 0]
        judged[0, row] = chosen - scores.logsumexp(-1)
        judged[1, row] = scores.argmax(-1)
    return judged


def collect(batch: Batch, spans: Sequence[Span], judged: Sequence[torch.Tensor], into: dict[int, Scored]) -> None:
    """Puts the judgements of each micro-batch into a mapping, by the index of the span."""
    for part, values in zip(batch.micro_batches, judged, strict=True):
        for row, index in enumerate(part):
            first = spans[index].first
            log_probs, best = values[:, row, first : first + len(spans[index].scored)].tolist()
            into[index] = Scored(tuple(log_probs), tuple(map(int, best)))
