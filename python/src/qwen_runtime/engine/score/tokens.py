"""From logits to what is said of each token. Shapes: r rows, w tokens (the width), v entries of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from qwen_runtime.engine.score.batches import Batch

if TYPE_CHECKING:
    from qwen_runtime.engine.score.texts import Span

PADDING = 0
"""Any token: what comes after a row's own tokens has no influence on them in a causal model."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One span: for each of its scored tokens."""

    log_probs: tuple[float, ...]
    """Natural logarithms."""
    best: tuple[int, ...]
    """The most likely token in its place."""


def tensors(batch: Batch, spans: Sequence[Span], device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and the tokens that follow them, [r, w] each, for every micro-batch."""
    found = []
    for part in batch.micro_batches:
        inputs = torch.full((batch.rows, batch.width), PADDING)
        following = torch.full((batch.rows, batch.width), PADDING)
        for row, index in enumerate(part):
            own = torch.tensor((*spans[index].inputs, spans[index].scored[-1]))
            inputs[row, : len(own) - 1], following[row, : len(own) - 1] = own[:-1], own[1:]
        found.append((inputs.to(device), following.to(device)))
    return found


def judge(logits: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """[r, w, v] and [r, w] to [2, r, w]: log-probability of the following token, and the most likely token.

    float64 holds both; row by row, since in float32 the logits of a row alone may take hundreds of megabytes.
    """
    judged = torch.empty((2, *following.shape), dtype=torch.float64, device=logits.device)
    for row, tokens in enumerate(following):
        own = logits[row].float()
        chosen = own.gather(-1, tokens[:, None])[:, 0]
        judged[0, row] = chosen - own.logsumexp(-1)
        judged[1, row] = own.argmax(-1)
    return judged


def collect(batch: Batch, spans: Sequence[Span], judged: Sequence[torch.Tensor], into: dict[int, Scored]) -> None:
    """What was judged of each micro-batch, by the index of the span."""
    for part, values in zip(batch.micro_batches, judged, strict=True):
        for row, index in enumerate(part):
            first = spans[index].first
            own = values[:, row, first : first + len(spans[index].scored)].tolist()
            into[index] = Scored(tuple(own[0]), tuple(map(int, own[1])))
