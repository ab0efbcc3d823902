"""One process of a run of scoring: `python -m qwen_runtime.engine.score.rank JOB`, with the environment of torchrun.

The last rank writes the result.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime import weights
from qwen_runtime.engine import loading, quantization
from qwen_runtime.engine.score import batches, document, texts
from qwen_runtime.engine.score.job import Job, decode
from qwen_runtime.errors import Error, UsageError

if TYPE_CHECKING:
    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.texts import Item, Span


def main() -> None:
    job = decode(sys.argv[1])
    try:
        run(job)
    except Error as error:
        job.fail(error)
        sys.exit(error.exit_code)


def run(job: Job) -> None:
    items = texts.read(job.input)
    config = loading.read_config(job.model_dir)
    spans, planned = _plan(job, config, items)
    found = (_pipeline if job.engine == "deepspeed" else _whole)(job, config, items, spans, planned)
    if found is not None:
        head = {"engine": job.engine, "stages": job.stages, "micro_batches": job.micro_batches}
        rest = {"versions": document.versions(), "hardware": document.hardware(), "units": document.UNITS}
        _write(job.output, {**head, **found, **rest})


def _plan(job: Job, config: dict[str, Any], items: list[Item]) -> tuple[list[Span], list[Batch]]:
    longest = int(config["max_position_embeddings"])
    if job.max_length is not None and job.max_length > longest:
        raise UsageError(
            f"--max-length {job.max_length}", f"at most {longest} tokens, the context of {job.model_dir}", "Lower it."
        )
    spans = texts.spans(items, loading.read_tokenizer(job.model_dir), job.max_length or longest)
    return spans, batches.divide([len(span.inputs) for span in spans], job.micro_batches, job.batch_tokens)


def _whole(
    job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], planned: list[Batch]
) -> dict[str, Any]:
    """Beside a quantized model the unquantized one is scored too, first: what it costs is a difference."""
    from qwen_runtime.engine.score import whole

    # What cannot be quantized is refused before the unquantized model is scored.
    quantization.choose(job.quantization, config, loading.choose_device(None).value)
    runs = []
    for method in dict.fromkeys((None, job.quantization)):
        loaded = loading.load(job.model_dir, dtype=job.dtype, attention=job.attention, quantization=method)
        started = time.perf_counter()
        scored = whole.score(loaded.model, spans, planned)
        figures = document.summary(items, spans, scored)
        cost = {"weights_bytes": loaded.weights_bytes, **_speed(figures, started)}
        runs.append((scored, figures, cost, [asdict(choice) for choice in loaded.choices]))
        del loaded
        gc.collect()  # before the next one is loaded
    scored, figures, cost, choices = runs[-1]
    found = {"choices": choices, **cost, "peak_rss_bytes": _peak_rss_bytes(), **figures}
    if len(runs) == 1:
        return found
    reference, before, before_cost, _ = runs[0]
    unquantized = {key: before[key] for key in ("log_likelihood", "perplexity", "top1")} | before_cost
    comparison = {
        "top1_agreement": document.agreement(reference, scored),
        "weights_bytes_saved": 1 - cost["weights_bytes"] / before_cost["weights_bytes"],
        "perplexity_ratio": figures["perplexity"] / before["perplexity"],
    }
    return {"unquantized": unquantized, "against_unquantized": comparison, **found}


def _pipeline(
    job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], planned: list[Batch]
) -> dict[str, Any] | None:
    """None on all ranks but the last one, which has the logits."""
    import torch.distributed

    from qwen_runtime.engine.score import pipeline

    manifest = weights.verify(job.model_dir, full=False)
    device = loading.choose_device(None)
    dtype = loading.choose_dtype(job.dtype, config, device.value)
    attention = loading.choose_attention(job.attention, dtype.value, device.value)
    engine = pipeline.build(job.model_dir, manifest, dtype.value, attention.value, job.stages)
    started = time.perf_counter()
    scored = pipeline.score(engine, spans, planned)
    own = {"weights_bytes": loading.size_bytes(engine.module), "peak_rss_bytes": _peak_rss_bytes()}
    ranks: list[dict[str, Any]] = [{}] * job.stages
    torch.distributed.all_gather_object(ranks, own)
    torch.distributed.destroy_process_group()
    if not scored:
        return None
    figures = document.summary(items, spans, scored)
    revision = loading.Choice("revision", manifest.revision, f"the manifest of {job.model_dir}")
    choices = [asdict(choice) for choice in (revision, device, dtype, attention)]
    return {"choices": choices, "ranks": ranks, **_speed(figures, started), **figures}


def _speed(figures: dict[str, Any], started: float) -> dict[str, float]:
    seconds = time.perf_counter() - started
    return {"score_s": round(seconds, 3), "tokens_per_s": round(figures["tokens"] / seconds, 1)}


def _peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _write(path: Path, found: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
