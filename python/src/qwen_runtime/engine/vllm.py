"""Engine vllm: vLLM's own server, one build of it for GPUs and one for CPUs, the same flags for both."""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qwen_runtime.engine import counters
from qwen_runtime.engine.spec import ENVIRONMENT, EngineSpec, Progress, Rank, flags
from qwen_runtime.errors import HostError, UsageError

PARALLEL_SIZES = (
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--data-parallel-size", "-dp"),
    ("--prefill-context-parallel-size", "-pcp"),
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
        *(_rank(spec.rank) if spec.rank else ()),
        *spec.extra,
    ]


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


def _hyphenated(words: Sequence[str]) -> list[str]:
    """vLLM takes underscores in the place of hyphens in its flags."""
    named = (word.partition("=") for word in words)
    return [f"{flag.replace('_', '-') if flag.startswith('--') else flag}{sign}{value}" for flag, sign, value in named]


def own_flags() -> frozenset[str]:
    spec = EngineSpec(Path("model"), "model", 1, 1, "auto", rank=Rank(2, 1, "leader", 1))
    return flags(command(spec)) | {"--model"}


def _rank(rank: Rank) -> list[str]:
    """Ranks of vLLM's own multiprocessing; no Ray."""
    words = ["--nnodes", str(rank.nodes), "--node-rank", str(rank.rank)]
    words += ["--master-addr", rank.leader_address, "--master-port", str(rank.rendezvous_port)]
    return words if rank.leads else [*words, "--headless"]


def read_progress(metrics: str) -> Progress:
    return counters.read(metrics, "vllm")


def environment(base: Mapping[str, str]) -> dict[str, str]:
    return {**ENVIRONMENT, "VLLM_NO_USAGE_STATS": "1", **_compilers(base), **base}


def _compilers(base: Mapping[str, str]) -> dict[str, str]:
    """What keeps vLLM from compilers that it takes for granted and this host lacks.

    It looks for one only when a feature is first used, and its engine dies where there is none (ADR 66).
    """
    if check_installed().endswith("+cpu"):
        # torch's compiler writes C++ for CPUs; logprobs and divided vocabularies use it even with --enforce-eager.
        if not _find(base.get("CXX", "g++"), base):
            return {"TORCH_COMPILE_DISABLE": "1"}
        # vLLM 0.32 for CPUs writes whole graphs and then cannot read them ("no attribute 'finalize_loading'"), so that
        # every start compiles anew. Told to write none, it leaves caching to torch's compiler, which does.
        return {"VLLM_USE_AOT_COMPILE": "0"}
    cuda = base.get("CUDA_HOME") or base.get("CUDA_PATH") or "/usr/local/cuda"
    has_nvcc = _find("nvcc", base) or _find(f"{cuda}/bin/nvcc", base)
    if has_nvcc and _find(base.get("CXX", "c++"), base):
        return {}
    # FlashInfer and DeepGEMM compile CUDA. vLLM looks for nvcc before it uses the former, but not in its sampler.
    return {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}


def _find(program: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(program, path=environment.get("PATH"))
