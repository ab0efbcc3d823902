"""The KV cache beyond bf16 on the GPU: keys and values in FP8, and those that wait in host memory."""

from __future__ import annotations

from qwen_runtime.engine.registry import ENGINES
from qwen_runtime.plan.request import Request
from qwen_runtime.sizing.gpus import FP8_FROM
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.memory import Memory
from qwen_runtime.sizing.tensors import BF16_BYTES
from qwen_runtime.units import GIB

FP8_COST = (
    "keys and values in FP8 take half the room. vLLM then computes attention in FP8 too, with scales of 1 unless the "
    "checkpoint has its own: evaluate the model before and after. On Hopper it is faster than bf16 from some 7,000 "
    "tokens of context on only, slower below, and long contexts stay right only by FlashAttention 3's two-level sums "
    "(https://blog.vllm.ai/2026/04/22/fp8-kvcache.html). `predicted` counts the smaller reads and not that cost"
)


def in_fp8(request: Request) -> bool:
    return request.shape.kv_number_bytes < BF16_BYTES


def form(request: Request) -> str:
    """Name of the form in which keys and values are kept."""
    if in_fp8(request):
        return "fp8"
    return "bf16" if request.shape.kv_number_bytes == BF16_BYTES else "float32"


def forbidden(request: Request, engine: str, layout: Layout) -> str | None:
    """Why the engine cannot keep keys and values as the request wants; None where it can."""
    return (in_fp8(request) and _forbidden_in_fp8(request, engine)) or (
        _forbidden_offload(request, engine, layout) if request.offload_gib else None
    )


def _forbidden_in_fp8(request: Request, engine: str) -> str | None:
    gpu = request.gpu
    if not ENGINES[engine].planned.fp8_cache:
        return f"engine {engine} keeps keys and values in bf16 only"
    if gpu.vendor == "nvidia" and gpu.capability < FP8_FROM:
        return f"a KV cache in FP8 needs compute capability 8.9 in vLLM, and this has {gpu.compute_capability}"
    return "a KV cache in FP8 has not been tried on a CPU" if gpu.vendor == "cpu" else None


def _forbidden_offload(request: Request, engine: str, layout: Layout) -> str | None:
    if not ENGINES[engine].planned.offloads or request.gpu.vendor == "cpu":
        return f"engine {engine} on {request.gpu.name} keeps no keys and values in host memory"
    if layout.nodes_per_replica(request.site) > 1:
        return "vLLM keeps what a KV cache pushes out in the memory of one host, not of several"
    if offload_gib(request, layout) < 1:
        return f"--kv-offload-gib {request.offload_gib} is less than 1 GiB for each engine of a host"
    return None


def offload_gib(request: Request, layout: Layout) -> int:
    """Host memory for each attention group: every engine of a host gets the same."""
    engines = max(1, request.site.gpus_per_node // layout.gpus_per_replica)
    return request.offload_gib // (engines * layout.attention_groups)


def offloaded_tokens(request: Request, layout: Layout, memory: Memory) -> int:
    """Tokens that one attention group keeps in host memory: each of its ranks keeps its own part."""
    ranks = layout.tensor_parallel * layout.pipeline_parallel
    return offload_gib(request, layout) * GIB // (memory.kv_bytes_per_token * ranks)
