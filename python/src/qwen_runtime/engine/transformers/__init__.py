"""Engine transformers: a compact server over transformers' continuous batching. It serves what vLLM does not take, and
is the oracle that vLLM's tokens are compared with."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.engine import buckets, counters
from qwen_runtime.engine.record import Decision, PlannedEngine, ScoringEngine
from qwen_runtime.engine.series import Exported
from qwen_runtime.engine.spec import ENVIRONMENT, EngineSpec, Progress
from qwen_runtime.engine.spec import flags as spec_flags
from qwen_runtime.engine.transformers import flags
from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.families import EQUAL_LAYERS
from qwen_runtime.sizing.gpus import Gpu, attention, weight_only
from qwen_runtime.sizing.layout import Layout, misfit
from qwen_runtime.sizing.memory import BATCHED_TOKENS
from qwen_runtime.sizing.shape import Shape

if TYPE_CHECKING:
    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.job import Job
    from qwen_runtime.engine.score.texts import Item, Span

PREFIX = "transformers"
"""Prefix of the names of all metrics; the rest of each name is vLLM's, where vLLM has the metric."""
EXPORTED = Exported(
    names={
        "time_to_first_token:seconds": f"{PREFIX}:time_to_first_token_seconds",
        "inter_token_latency:seconds": f"{PREFIX}:inter_token_latency_seconds",
        "request_latency:seconds": f"{PREFIX}:e2e_request_latency_seconds",
        "queue_time:seconds": f"{PREFIX}:request_queue_time_seconds",
        "step_tokens:tokens": f"{PREFIX}:iteration_tokens_total",
        "step_requests:requests": f"{PREFIX}:iteration_batch_size",
        "requests_running:requests": f"{PREFIX}:num_requests_running",
        "requests_waiting:requests": f"{PREFIX}:num_requests_waiting",
        "kv_cache_used:ratio": f"{PREFIX}:kv_cache_usage_perc",
        "prompt_tokens:total": f"{PREFIX}:prompt_tokens_total",
        "generation_tokens:total": f"{PREFIX}:generation_tokens_total",
        "load_time:seconds": f"{PREFIX}:model_load_seconds",
        "errors:total": f"{PREFIX}:request_errors_total",
    },
    finished=f"{PREFIX}:request_success_total",
    edges=buckets.EDGES,
)
TRACES_FLAG: str | None = None
PATHS: tuple[str, ...] = ("/v1/chat/completions", "/v1/completions")
GROUPED_WIDTH = 8
"""torch.nn.functional.grouped_mm needs rows that are multiples of 16 bytes, which are 8 numbers in bf16."""
NEEDED = ("transformers", "torch", "fastapi", "uvicorn", "prometheus-client")


def check_installed() -> str:
    """transformers' version; it and the server's libraries are looked up, not imported."""
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        raise HostError(
            f"{', '.join(missing)} not installed beside qwen-runtime",
            "the distributions that --engine transformers runs on",
            f"Install them for {sys.executable}, or use the runtime image, which has them.",
        )
    return importlib.metadata.version("transformers")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def command(spec: EngineSpec) -> list[str]:
    """The command line. UsageError for one of several nodes."""
    if spec.rank is not None:
        raise UsageError(
            f"engine transformers on {spec.rank.nodes} nodes",
            "one node: this engine's ranks are processes of one host",
            "Plan for one node, or serve with engine vllm.",
        )
    return [sys.executable, "-m", "qwen_runtime.engine.transformers", *_arguments(spec)]


def ranks(spec: EngineSpec) -> int:
    """The number of ranks. UsageError where the model cannot be divided as its arguments say."""
    options = flags.parse(_arguments(spec))
    if options.ranks > 1:
        shape = catalogue.read(spec.model_dir)
        layout = Layout(options.tensor_parallel, options.pipeline_parallel, options.expert_parallel)
        if reason := undividable(shape, layout) or misfit(shape, layout):
            raise UsageError(
                f"{spec.model_dir} over {options.ranks} ranks: {reason}",
                "a number of ranks that divides the model",
                "Correct --tp-size, --ep-size, --pp-size, or ask `qwen-runtime plan --engine transformers` what fits.",
            )
    return options.ranks


def parallel_sizes(spec: EngineSpec) -> tuple[int, ...]:
    options = flags.parse(_arguments(spec))
    return options.tensor_parallel, options.pipeline_parallel


def own_flags() -> frozenset[str]:
    return spec_flags(_arguments(EngineSpec(Path("model"), "model", 1, 1, "auto"))) | {"--host"}


def _arguments(spec: EngineSpec) -> list[str]:
    return [
        str(spec.model_dir),
        *spec.planned,
        "--served-model-name",
        spec.served_model_name,
        "--port",
        str(spec.port),
        "--max-model-len",
        str(spec.max_model_len),
        "--dtype",
        spec.dtype,
        *spec.extra,
    ]


def read_progress(metrics: str) -> Progress:
    return counters.read(metrics, EXPORTED)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    return {**ENVIRONMENT, **base}


def forbidden(shape: Shape, gpu: Gpu, layout: Layout) -> str | None:
    if shape.family not in EQUAL_LAYERS:
        return f"engine transformers has been tried with {', '.join(EQUAL_LAYERS)} only"
    if shape.int8:
        return "engine transformers has not been tried with INT8 weights of compressed-tensors"
    if weight_only(shape, gpu):
        return "transformers unpacks FP8 to bf16 on GPUs without arithmetic in FP8, which takes twice the memory"
    return undividable(shape, layout)


def undividable(shape: Shape, layout: Layout) -> str | None:
    """Why transformers 5.19 does not divide a model so, whatever the hardware; None where it does."""
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


def planned_arguments(decision: Decision) -> list[str]:
    """Keyword arguments of DistributedConfig, from_pretrained and ContinuousBatchingConfig, spelt as flags."""
    layout = decision.layout
    argv = ["--tp-size", str(layout.tensor_parallel)] if layout.tensor_parallel > 1 else []
    argv += ["--ep-size", str(layout.expert_parallel)] if layout.expert_parallel > 1 else []
    argv += ["--pp-size", str(layout.pipeline_parallel)] if layout.pipeline_parallel > 1 else []
    argv += ["--dtype", decision.shape.dtype, "--attn-implementation", attention(decision.gpu)[0]]
    argv += ["--page-size", str(flags.PAGE_TOKENS)]
    argv += ["--num-blocks", str(decision.memory.kv_tokens // flags.PAGE_TOKENS)]
    return [*argv, "--max-batch-tokens", str(BATCHED_TOKENS)]


def processes(config: dict[str, Any], stages: int | None, quantization: str | None) -> int:
    """Always 1: the model is not divided."""
    if stages is not None and stages > 1:
        raise UsageError(f"--stages {stages} with engine transformers", "one process", "Use engine deepspeed.")
    return 1


def score(
    job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], batches: list[Batch]
) -> dict[str, Any]:
    from qwen_runtime.engine.score import whole  # imports torch

    return whole.run(job, config, items, spans, batches)


PLANNED = PlannedEngine(
    reason="asked for: the reference that other engines are compared with",
    forbidden=forbidden,
    arguments=planned_arguments,
    stages_overlap=False,
    whole_embedding=True,  # its plans for tensor parallelism divide no embedding
    warning=lambda shape: (
        "predictions were fitted on vLLM and SGLang; transformers has been slower wherever both were run"
    ),
)
SCORER = ScoringEngine(quantizes=True, processes=processes, run=score)
