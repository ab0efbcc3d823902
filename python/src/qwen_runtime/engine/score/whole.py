"""Engine transformers: the whole model in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from qwen_runtime.engine import loading, quantization
from qwen_runtime.engine.score import document, tokens
from qwen_runtime.engine.score.tokens import Scored

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.job import Job
    from qwen_runtime.engine.score.texts import Item, Span


def score(model: PreTrainedModel, spans: Sequence[Span], planned: Sequence[Batch]) -> dict[int, Scored]:
    """The scored tokens by index of the span."""
    scored: dict[int, Scored] = {}
    for batch in planned:
        with torch.inference_mode():
            judged = [
                tokens.judge(model(inputs, use_cache=False).logits, following)
                for inputs, following in tokens.tensors(batch, spans, model.device)
            ]
        tokens.collect(batch, spans, judged, scored)
    return scored


def run(job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], planned: list[Batch]) -> dict[str, Any]:
    """Scores the model. A quantized one is scored after the unquantized one, because its cost is a difference."""
    # What cannot be quantized is refused before the unquantized model is scored.
    quantization.choose(job.quantization, config, loading.choose_device(None).value)
    runs = []
    for method in dict.fromkeys((None, job.quantization)):
        loaded = loading.load(job.model_dir, dtype=job.dtype, attention=job.attention, quantization=method)
        started = time.perf_counter()
        scored = score(loaded.model, spans, planned)
        figures = document.summary(items, spans, scored)
        cost = {"weights_bytes": loaded.weights_bytes, **document.speed(figures, started)}
        runs.append((scored, figures, cost, [asdict(choice) for choice in loaded.choices]))
        del loaded
        gc.collect()  # before the next one is loaded
    scored, figures, cost, choices = runs[-1]
    result = {"choices": choices, **cost, "peak_rss_bytes": document.peak_rss_bytes(), **figures}
    if len(runs) == 1:
        return result
    reference, before, before_cost, _ = runs[0]
    unquantized = {key: before[key] for key in ("log_likelihood", "perplexity", "top1")} | before_cost
    comparison = {
        "top1_agreement": document.agreement(reference, scored),
        "weights_bytes_saved": 1 - cost["weights_bytes"] / before_cost["weights_bytes"],
        "perplexity_ratio": figures["perplexity"] / before["perplexity"],
    }
    return {"unquantized": unquantized, "against_unquantized": comparison, **result}
