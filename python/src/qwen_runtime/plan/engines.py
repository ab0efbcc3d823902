"""The engines: which layouts each takes, and the arguments that start it with a layout.

vllm         arguments of `vllm serve DIR`. Over several hosts each also gets --node-rank, --master-addr and, all but
             the first, --headless from whoever starts the group.
transformers keyword arguments of DistributedConfig, from_pretrained and ContinuousBatchingConfig, spelt as flags.
deepspeed    arguments of `qwen-runtime score --model DIR --input FILE --output FILE`.
"""

from __future__ import annotations

from qwen_runtime.plan.request import Request
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout, Site
from qwen_runtime.sizing.memory import BATCHED_TOKENS, MAX_SEQUENCES, Memory
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.units import GIB

ENGINES = ("vllm", "transformers", "deepspeed")
FP8_FROM = (8, 9)
"""Compute capability of the first NVIDIA GPUs with arithmetic in FP8."""
TRANSFORMERS_PAGE_TOKENS = 32
GROUPED_WIDTH = 8
"""Numbers in bf16 that make the 16 bytes of which the rows of torch.nn.functional.grouped_mm are multiples."""
STAGES_OVERLAP = {"vllm": True, "transformers": False, "deepspeed": True}
"""Whether pipeline stages work on batches of their own at the same time, or wait for one another."""
_TOOL_PARSERS = (("qwen3-coder", "qwen3_coder"), ("qwen2.5", "hermes"), ("qwen3", "hermes"))


def forbidden(engine: str, shape: Shape, gpu: Gpu, site: Site, layout: Layout) -> str | None:
    """Why this engine does not run this layout on this hardware; None where it does."""
    if shape.fp8_block and gpu.vendor == "cpu":
        return "FP8 needs a GPU: CPUs have no arithmetic in FP8 and no kernel that unpacks its blocks; plan bf16"
    if engine == "vllm":
        return _forbidden_vllm(gpu, layout)
    if layout.nodes_per_replica(site) > 1:
        return f"engine {engine} has been tried on one host only"
    if engine == "transformers":
        if weight_only(shape, gpu):
            return "transformers unpacks FP8 to bf16 on GPUs without arithmetic in FP8, which takes twice the memory"
        return forbidden_transformers(shape, layout)
    return _forbidden_deepspeed(shape, layout)


def _forbidden_vllm(gpu: Gpu, layout: Layout) -> str | None:
    if gpu.vendor == "cpu" and layout.expert_parallel > 1:
        return "vLLM 0.32 for CPUs dies at the first request with expert parallelism"
    if gpu.vendor == "cpu" and layout.pipeline_parallel > 1:
        return "vLLM 0.32 for CPUs dies at the first request with pipeline stages"
    return None


def forbidden_transformers(shape: Shape, layout: Layout) -> str | None:
    """Of transformers 5.19, whatever the hardware."""
    tensor = layout.tensor_parallel
    pipeline = layout.pipeline_parallel
    if pipeline > 1 and tensor > 1:
        return "engine transformers divides a model by its layers or within each of them, not both"
    if shape.layers % pipeline:
        return (
            f"{shape.layers} layers are not divisible by PP {pipeline}: transformers leaves the rest to the last stage"
        )
    if layout.expert_parallel not in (1, tensor):
        return "transformers shares experts among all ranks that share the layers, or among none"
    if tensor * pipeline > 1 and shape.fp8_block:
        return "engine transformers divides weights in bf16 over ranks, not FP8"
    if shape.kv_heads % tensor:
        return f"transformers repeats no key/value heads: {shape.kv_heads} are not divisible by TP {tensor}"
    if shape.vocabulary % tensor:
        return f"transformers pads no vocabulary: {shape.vocabulary} tokens are not divisible by TP {tensor}"
    width = shape.moe_intermediate // tensor
    if tensor > 1 and layout.expert_parallel == 1 and width % GROUPED_WIDTH:
        return (
            f"experts of {shape.moe_intermediate} / TP {tensor} = {width}, and torch's grouped product takes multiples "
            f"of {GROUPED_WIDTH}; expert parallelism keeps experts whole"
        )
    return None


def _forbidden_deepspeed(shape: Shape, layout: Layout) -> str | None:
    if shape.fp8_block:
        return "DeepSpeed's PipelineModule takes layers in bf16 only"
    if layout.tensor_parallel > 1 or layout.attention_groups > 1:
        if shape.experts:
            return "DeepSpeed's AutoTP leaves experts whole on every rank; its PipelineModule divides by layers only"
        return "DeepSpeed's PipelineModule divides a model by layers only"
    return None


def weight_only(shape: Shape, gpu: Gpu) -> bool:
    """Whether FP8 saves memory here but no arithmetic."""
    return bool(shape.fp8_block) and gpu.vendor == "nvidia" and gpu.capability < FP8_FROM


def attention(gpu: Gpu) -> tuple[str, str]:
    """The implementation and its reason."""
    if gpu.vendor == "cpu":
        return "sdpa", "flash attention needs a GPU"
    if gpu.vendor == "amd":
        return "sdpa", "flash attention is a separate build for ROCm; vLLM brings its own kernels"
    return "flash_attention_2", f"compute capability {gpu.compute_capability} has it (from 8.0 on)"


def sequences(request: Request, layout: Layout, memory: Memory) -> int:
    """Requests that one attention group may run at once without evicting one of the planned length."""
    wanted = request.wishes.input_tokens + request.wishes.output_tokens
    return max(1, min(memory.kv_tokens // wanted, MAX_SEQUENCES))


def arguments(engine: str, request: Request, layout: Layout, memory: Memory) -> list[str]:
    """What starts the engine with this layout, one word an entry."""
    build = {"vllm": _vllm, "transformers": _transformers, "deepspeed": _deepspeed}[engine]
    return build(request, layout, memory)


def environment(request: Request, memory: Memory) -> dict[str, str]:
    """What vLLM is told by environment variables."""
    if request.gpu.vendor == "cpu":
        return {"VLLM_CPU_KVCACHE_SPACE": str(memory.kv_bytes // GIB)}
    if request.shape.fp8_block and request.gpu.vendor == "nvidia":
        # Its warm-up takes memory after the KV cache was sized: https://github.com/vllm-project/vllm/issues/29360.
        return {"VLLM_USE_DEEP_GEMM": "0"}
    return {}


def _vllm(request: Request, layout: Layout, memory: Memory) -> list[str]:
    words = ["--tensor-parallel-size", str(layout.tensor_parallel)]
    if layout.pipeline_parallel > 1:
        words += ["--pipeline-parallel-size", str(layout.pipeline_parallel)]
    if layout.attention_groups > 1:
        words += ["--data-parallel-size", str(layout.attention_groups)]
    if layout.expert_parallel > 1:
        words += ["--enable-expert-parallel"]
    nodes = layout.nodes_per_replica(request.site)
    if nodes > 1:
        words += ["--nnodes", str(nodes)]
    words += ["--dtype", "bfloat16", "--max-model-len", str(request.wishes.context_tokens)]
    words += ["--max-num-seqs", str(sequences(request, layout, memory))]
    words += ["--max-num-batched-tokens", str(BATCHED_TOKENS)]
    if request.gpu.vendor != "cpu":
        words += ["--gpu-memory-utilization", f"{request.utilization:g}"]
    parser = tool_parser(request.shape)
    return [*words, "--enable-auto-tool-choice", "--tool-call-parser", parser] if parser else words


def tool_parser(shape: Shape) -> str | None:
    """vLLM's parser for the calls that a model writes, by the model's name; None where it writes none."""
    name = shape.name.lower()
    return next((parser for start, parser in _TOOL_PARSERS if name.startswith(start)), None)


def _transformers(request: Request, layout: Layout, memory: Memory) -> list[str]:
    words = ["--tp-size", str(layout.tensor_parallel)] if layout.tensor_parallel > 1 else []
    words += ["--ep-size", str(layout.expert_parallel)] if layout.expert_parallel > 1 else []
    words += ["--pp-size", str(layout.pipeline_parallel)] if layout.pipeline_parallel > 1 else []
    words += ["--dtype", "bfloat16", "--attn-implementation", attention(request.gpu)[0]]
    words += ["--page-size", str(TRANSFORMERS_PAGE_TOKENS)]
    words += ["--num-blocks", str(memory.kv_tokens // TRANSFORMERS_PAGE_TOKENS)]
    return [*words, "--max-batch-tokens", str(BATCHED_TOKENS)]


def _deepspeed(request: Request, layout: Layout, memory: Memory) -> list[str]:
    words = ["--engine", "deepspeed", "--stages", str(layout.pipeline_parallel)]
    return [*words, "--dtype", "bfloat16", "--max-length", str(request.wishes.context_tokens)]
