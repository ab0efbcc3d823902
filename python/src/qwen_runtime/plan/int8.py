"""Weights in INT8 on a processor: their gain beside the same model in bf16, and the command that makes them."""

from __future__ import annotations

from dataclasses import replace

from qwen_runtime.plan.planner import Plan, predict, roofline
from qwen_runtime.sizing import catalogue

WORTH = 1.1
"""Least gain for one user for which another checkpoint is advised: predictions are less exact than a smaller one."""
RECIPE = (
    "from llmcompressor import model_free_ptq; model_free_ptq('MODEL', 'OUT', scheme='W8A8', "
    "ignore=['lm_head', 're:.*embed_tokens'], device='cpu')"
)
"""Python that makes such a checkpoint from one in bf16, in the environment of locks/quantize.txt.

Source: https://github.com/vllm-project/llm-compressor, model_free_ptq.
"""


def advice(plan: Plan) -> str | None:
    """The gain of INT8 weights beside the planned ones in bf16; None where no plan would take them."""
    request = plan.request
    smaller = catalogue.twin(request.shape, "int8")
    if smaller is None or request.gpu.int8 is None or request.shape.quantization != "bf16" or not plan.predicted:
        return None
    wishes, capacity, layout = request.wishes, plan.sequences_per_engine, plan.best.layout
    now, then = (roofline(replace(request, shape=shape), layout, request.engine) for shape in (request.shape, smaller))
    alone, together = (
        predict(then, wishes, users, capacity).output_tokens_per_s
        / predict(now, wishes, users, capacity).output_tokens_per_s
        for users in (1, wishes.concurrency)
    )
    gain = (
        f"INT8 weights would give {alone:.2f} x the tokens/s to one user and {together:.2f} x at {wishes.concurrency}"
    )
    if alone < WORTH:
        return f"{gain}, which is not worth another checkpoint"
    saved = 1 - smaller.size_bytes / request.shape.size_bytes
    return (
        f'{gain}, in {saved:.0%} fewer bytes. Plan them with --quantization int8, make them with python -c "{RECIPE}" '
        "(docs/quantization.md: its environment, and what was lost)"
    )
