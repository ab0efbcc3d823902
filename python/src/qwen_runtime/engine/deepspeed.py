"""Engine deepspeed: scores whole texts with the layers divided over processes. It keeps no KV cache, so it does not
stream (docs/adr/0045-deepspeed-scores-and-does-not-stream.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen_runtime.engine.record import Decision, PlannedEngine, ScoringEngine
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import stored
from qwen_runtime.sizing.families import EQUAL_LAYERS
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.shape import Shape

if TYPE_CHECKING:
    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.job import Job
    from qwen_runtime.engine.score.texts import Item, Span

STAGES = 4
"""Processes, where neither plan nor flag says otherwise."""


def forbidden(shape: Shape, gpu: Gpu, layout: Layout) -> str | None:
    if shape.family not in EQUAL_LAYERS:
        return f"the pipeline takes {', '.join(EQUAL_LAYERS)} only"
    if shape.fp8_block or shape.int8:
        return "DeepSpeed's PipelineModule takes layers in bf16 only"
    if layout.tensor_parallel > 1 or layout.attention_groups > 1:
        if shape.experts:
            return "DeepSpeed's AutoTP leaves experts whole on every rank; its PipelineModule divides by layers only"
        return "DeepSpeed's PipelineModule divides a model by layers only"
    return None


def planned_arguments(decision: Decision) -> list[str]:
    """Arguments of `qwen-runtime score --model DIR --input FILE --output FILE`."""
    argv = ["--engine", "deepspeed", "--stages", str(decision.layout.pipeline_parallel)]
    return [*argv, "--dtype", decision.shape.dtype, "--max-length", str(decision.context_tokens)]


def processes(config: dict[str, Any], stages: int | None, quantization: str | None) -> int:
    """The number of stages, one a process. UsageError for a model that the pipeline does not take."""
    if quantization or stored.stated(config, "config.json"):
        raise UsageError(
            f"--quantization {quantization} with engine deepspeed"
            if quantization
            else "a checkpoint that is quantized",
            "weights in bfloat16, float16 or float32: the stages take them from the shards as they are",
            "Use --engine transformers.",
        )
    family, layers = config.get("model_type"), int(config.get("num_hidden_layers", 0))
    if family not in EQUAL_LAYERS or "sliding_attention" in (config.get("layer_types") or ()):
        raise UsageError(
            f"a model of type {family} for engine deepspeed",
            f"one of {', '.join(EQUAL_LAYERS)}, with full attention in every layer",
            "Use --engine transformers.",
        )
    stages = stages or STAGES
    if stages > layers:
        raise UsageError(f"--stages {stages} for {layers} layers", "at least one layer a stage", "Lower --stages.")
    return stages


def score(
    job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], batches: list[Batch]
) -> dict[str, Any] | None:
    from qwen_runtime.engine.score import pipeline  # imports torch

    return pipeline.run(job, config, items, spans, batches)


PLANNED = PlannedEngine(
    reason="asked for: scores whole texts; it keeps no KV cache, so it does not stream",
    forbidden=forbidden,
    arguments=planned_arguments,
    unpredicted="not predicted: DeepSpeed scores whole texts and does not stream",
)
SCORER = ScoringEngine(quantizes=False, processes=processes, run=score)
