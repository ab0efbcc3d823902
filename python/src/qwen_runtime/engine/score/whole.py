"""Engine transformers: the whole model in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from qwen_runtime.engine.score import tokens
from qwen_runtime.engine.score.tokens import Scored

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.texts import Span


def score(model: PreTrainedModel, spans: Sequence[Span], planned: Sequence[Batch]) -> dict[int, Scored]:
    """By index of the span."""
    scored: dict[int, Scored] = {}
    for batch in planned:
        with torch.inference_mode():
            judged = [
                tokens.judge(model(inputs, use_cache=False).logits, following)
                for inputs, following in tokens.tensors(batch, spans, model.device)
            ]
        tokens.collect(batch, spans, judged, scored)
    return scored
