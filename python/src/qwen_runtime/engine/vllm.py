"""Engine vllm: vLLM's own server, one build of it for GPUs and one for CPUs, the same flags for both."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qwen_runtime.engine import buckets, counters, door, keep_alive, leniency, request_log, tool_calls
from qwen_runtime.engine.record import Decision, PlannedEngine
from qwen_runtime.engine.series import Errors, Exported
from qwen_runtime.engine.spec import ENVIRONMENT, EngineSpec, Progress, Rank, flags
from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.sizing import published
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.memory import BATCHED_TOKENS
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import BF16_BYTES
from qwen_runtime.units import GIB

# Paths of a model that generates; vLLM has more, which change the server or serve other kinds of model.
TRACES_FLAG: str | None = "--otlp-traces-endpoint"
PATHS: tuple[str, ...] = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/tokenize",
    "/detokenize",
)
PARALLEL_SIZES = (
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--data-parallel-size", "-dp"),
    ("--prefill-context-parallel-size", "-pcp"),
)
OVERRIDES = "--hf-overrides"
DRAFTS = ("--speculative-config", "--spec-method", "--spec-model", "--spec-tokens", "-sc")
"""Arguments that turn on speculative decoding."""
DRAFTS_ON_CPU = (
    "in vLLM 0.32 for CPUs drafts and a request that samples leave answers without sense: it divides by memory that it "
    "never wrote (https://github.com/vllm-project/vllm/issues/55005)"
)
TOOL_PARSER = str(Path(__file__).with_name("vllm_tool_parser.py"))
"""A plug-in that vLLM loads by its path; it alone can import it."""
_FINISHED = "vllm:request_success_total"
_ANSWERS = "http_requests_total"
"""Counter of answers over HTTP by handler and class of status; it has no prefix."""
# Names of vLLM 0.32; a test holds them to its recorded /metrics.
EXPORTED = Exported(
    names={
        "time_to_first_token:seconds": "vllm:time_to_first_token_seconds",
        "inter_token_latency:seconds": "vllm:inter_token_latency_seconds",
        "request_latency:seconds": "vllm:e2e_request_latency_seconds",
        "queue_time:seconds": "vllm:request_queue_time_seconds",
        "step_tokens:tokens": "vllm:iteration_tokens_total",
        "requests_running:requests": "vllm:num_requests_running",
        "requests_waiting:requests": "vllm:num_requests_waiting",
        "kv_cache_used:ratio": "vllm:kv_cache_usage_perc",
        "prompt_tokens:total": "vllm:prompt_tokens_total",
        "generation_tokens:total": "vllm:generation_tokens_total",
        "cached_prompt_tokens:total": "vllm:prompt_tokens_cached_total",
        "preemptions:total": "vllm:num_preemptions_total",
    },
    finished=_FINISHED,
    edges=buckets.EDGES,
    # vLLM has no counter of errors by cause. Two reasons to end are errors, and two classes of HTTP status.
    errors=(
        Errors("client_gone", _FINISHED, 'finished_reason="abort"', ("engine", "finished_reason")),
        Errors("engine", _FINISHED, 'finished_reason="error"', ("engine", "finished_reason")),
        Errors("refused", _ANSWERS, 'handler=~"/v1/.*",status="4xx"', ("handler", "method", "status")),
        Errors("server", _ANSWERS, 'handler=~"/v1/.*",status="5xx"', ("handler", "method", "status")),
    ),
)


def check_installed() -> str:
    """vLLM's version; it is looked up, not imported, because the import takes many seconds."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        raise HostError(
            "no distribution named vllm is installed beside qwen-runtime",
            "the engine that --engine vllm runs",
            f"Install vLLM for {sys.executable}, or use the runtime image, which has it.",
        ) from None


def command(spec: EngineSpec) -> list[str]:
    _check_drafts([*spec.planned, *spec.extra])
    return [
        sys.executable,
        "-m",
        "vllm.entrypoints.cli.main",
        "serve",
        str(spec.model_dir),
        *spec.planned,
        "--served-model-name",
        spec.served_model_name,
        "--host",
        "0.0.0.0",
        "--port",
        str(spec.port),
        "--max-model-len",
        str(spec.max_model_len),
        "--dtype",
        spec.dtype,
        # Probes and scrapes come every few seconds and would drown the lines about requests.
        "--disable-access-log-for-endpoints",
        "/health,/metrics,/v1/models",
        # The usage of each answer tells how many tokens of the prompt were still known: clients and the bill read it.
        "--enable-prompt-tokens-details",
        *_stretched_context(spec),
        *("--tool-parser-plugin", TOOL_PARSER),
        *_middleware(asks_for_key=spec.asks_for_key),
        *(_rank(spec.rank) if spec.rank else ()),
        *spec.extra,
    ]


def _check_drafts(argv: Sequence[str]) -> None:
    """Raises UsageError for speculative decoding where this installation is the build for CPUs."""
    wanted = next((word for word in _hyphenated(argv) if word.partition("=")[0] in DRAFTS), None)
    if wanted and check_installed().endswith("+cpu"):
        flag = wanted.partition("=")[0]
        raise UsageError(f"{flag} on a CPU: {DRAFTS_ON_CPU}", "no drafts on a CPU", f"Leave {flag} out.")


def _middleware(*, asks_for_key: bool) -> list[str]:
    """Arguments that put the package's middleware before vLLM's server. The last one is the first that is asked."""
    own = [keep_alive.MIDDLEWARE, leniency.MIDDLEWARE, request_log.MIDDLEWARE]
    names = [*own, *([door.MIDDLEWARE] if asks_for_key else [])]
    return [word for name in names for word in ("--middleware", name)]


def _stretched_context(spec: EngineSpec) -> list[str]:
    """Raises max_position_embeddings to YaRN's context where the wanted one needs it.

    vLLM 0.32 takes that key for the limit, whatever YaRN's factor, and refuses a longer --max-model-len.
    """
    if OVERRIDES in flags(_hyphenated([*spec.planned, *spec.extra])):
        return []
    path = spec.model_dir / "config.json"
    try:
        config = published.read_object(path)
        if spec.max_model_len <= published.context_without_yarn(config, str(path)):
            return []
    except UsageError:  # the checks before the start and the engine itself name it
        return []
    return _raised_limit(published.longest_context(config, str(path)), nested=bool(config.get(published.TEXT)))


def _raised_limit(context_tokens: int, *, nested: bool) -> list[str]:
    limit = {published.CONTEXT: context_tokens}
    return [OVERRIDES, json.dumps({published.TEXT: limit} if nested else limit)]


def ranks(spec: EngineSpec) -> int:
    return 1  # vLLM starts its workers itself


def parallel_sizes(spec: EngineSpec) -> tuple[int, ...]:
    """The last value of a flag is the one that counts, as in vLLM."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in PARALLEL_SIZES:
        parser.add_argument(*names, dest=names[0], type=int, default=1)
    try:
        sizes, _ = parser.parse_known_args(_hyphenated([*spec.planned, *spec.extra]))
    except argparse.ArgumentError as error:
        raise UsageError(str(error), "a whole number", "Correct the arguments of the engine.") from error
    return tuple(vars(sizes).values())


def _hyphenated(argv: Sequence[str]) -> list[str]:
    """The command line with hyphens in flags, where vLLM takes underscores too."""
    named = (word.partition("=") for word in argv)
    return [f"{flag.replace('_', '-') if flag.startswith('--') else flag}{sign}{value}" for flag, sign, value in named]


def own_flags() -> frozenset[str]:
    spec = EngineSpec(Path("model"), "model", 1, 1, "auto", rank=Rank(2, 1, "leader", 1))
    # vLLM takes any number of --middleware, and a parser of the site's own in place of ours.
    return flags(command(spec)) - {"--middleware", "--tool-parser-plugin"} | {"--model"}


def _rank(rank: Rank) -> list[str]:
    """Arguments of a rank of vLLM's own multiprocessing; no Ray."""
    argv = ["--nnodes", str(rank.nodes), "--node-rank", str(rank.rank)]
    argv += ["--master-addr", rank.leader_address, "--master-port", str(rank.rendezvous_port)]
    return argv if rank.leads else [*argv, "--headless"]


def read_progress(metrics: str) -> Progress:
    return counters.read(metrics, EXPORTED)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    return {**ENVIRONMENT, "VLLM_NO_USAGE_STATS": "1", **_compilers(base), **base}


def _compilers(base: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep vLLM from compilers that it takes for granted and this host lacks.

    It looks for one only when a feature is first used, and its engine dies where there is none (ADR 66).
    """
    if check_installed().endswith("+cpu"):
        # torch's compiler writes C++ for CPUs; logprobs and divided vocabularies use it even with --enforce-eager.
        if not _find(base.get("CXX", "g++"), base):
            return {"TORCH_COMPILE_DISABLE": "1"}
        # vLLM 0.32 for CPUs writes whole graphs and then cannot read them ("no attribute 'finalize_loading'"), so that
        # every start compiles anew. Without them it leaves caching to torch's compiler, which works.
        return {"VLLM_USE_AOT_COMPILE": "0"}
    cuda = base.get("CUDA_HOME") or base.get("CUDA_PATH") or "/usr/local/cuda"
    has_nvcc = _find("nvcc", base) or _find(f"{cuda}/bin/nvcc", base)
    if has_nvcc and _find(base.get("CXX", "c++"), base):
        return {}
    # FlashInfer and DeepGEMM compile CUDA. vLLM looks for nvcc before it uses the former, but not in its sampler.
    return {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}


def _find(program: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(program, path=environment.get("PATH"))


def forbidden(shape: Shape, gpu: Gpu, layout: Layout) -> str | None:
    if gpu.vendor == "cpu" and layout.expert_parallel > 1:
        return "vLLM 0.32 for CPUs dies at the first request with expert parallelism"
    if gpu.vendor == "cpu" and layout.pipeline_parallel > 1:
        return "vLLM 0.32 for CPUs dies at the first request with pipeline stages"
    return None


def planned_arguments(decision: Decision) -> list[str]:
    """Arguments of `vllm serve DIR`. Over several hosts, `command` adds each host's rank."""
    layout = decision.layout
    argv = ["--tensor-parallel-size", str(layout.tensor_parallel)]
    if layout.pipeline_parallel > 1:
        argv += ["--pipeline-parallel-size", str(layout.pipeline_parallel)]
    if layout.attention_groups > 1:
        argv += ["--data-parallel-size", str(layout.attention_groups)]
    if layout.expert_parallel > 1:
        argv += ["--enable-expert-parallel"]
    if decision.nodes > 1:
        argv += ["--nnodes", str(decision.nodes)]
    argv += ["--dtype", decision.shape.dtype, "--max-model-len", str(decision.context_tokens)]
    if decision.context_tokens > decision.shape.unstretched_context_tokens > 0:
        argv += _raised_limit(decision.shape.context_tokens, nested=decision.shape.nested)
    if decision.shape.text_alone:
        argv += ["--language-model-only"]  # vLLM then loads no encoder, and refuses images
    argv += ["--max-num-seqs", str(decision.sequences)]
    argv += ["--max-num-batched-tokens", str(BATCHED_TOKENS)]
    if decision.gpu.vendor != "cpu":
        argv += ["--gpu-memory-utilization", f"{decision.utilization:g}"]
    if decision.shape.kv_number_bytes < BF16_BYTES:
        argv += ["--kv-cache-dtype", "fp8"]
    if decision.offload_gib:
        argv += ["--kv-offloading-size", str(decision.offload_gib)]
    parser = tool_calls.parser(decision.shape)
    return [*argv, "--enable-auto-tool-choice", "--tool-call-parser", parser] if parser else argv


def planned_environment(decision: Decision) -> dict[str, str]:
    if decision.gpu.vendor == "cpu":
        return {"VLLM_CPU_KVCACHE_SPACE": str(decision.memory.kv_bytes // GIB)}
    if decision.shape.fp8_block and decision.gpu.vendor == "nvidia":
        # Its warm-up takes memory after the KV cache was sized: https://github.com/vllm-project/vllm/issues/29360.
        return {"VLLM_USE_DEEP_GEMM": "0"}
    return {}


PLANNED = PlannedEngine(
    reason="serves with continuous batching, prefix caching and every layout here",
    forbidden=forbidden,
    arguments=planned_arguments,
    environment=planned_environment,
    over_nodes=True,
    fp8_cache=True,
    offloads=True,
    warning=tool_calls.warning,
)
