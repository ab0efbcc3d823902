"""Engine transformers: a compact server over transformers' continuous batching, for what vLLM does not take, and the
oracle that vLLM's tokens are compared with."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path

from qwen_runtime.engine import counters
from qwen_runtime.engine.spec import ENVIRONMENT, EngineSpec, Progress
from qwen_runtime.engine.spec import flags as spec_flags
from qwen_runtime.engine.transformers import flags
from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.plan import engines
from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.layout import Layout, misfit

PREFIX = "transformers"
"""Of the names of all its metrics; the rest of each name is vLLM's."""
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
    """UsageError for one of several nodes."""
    if spec.rank is not None:
        raise UsageError(
            f"engine transformers on {spec.rank.nodes} nodes",
            "one node: this engine's ranks are processes of one host",
            "Plan for one node, or serve with engine vllm.",
        )
    return [sys.executable, "-m", "qwen_runtime.engine.transformers", *_arguments(spec)]


def ranks(spec: EngineSpec) -> int:
    """UsageError where the model cannot be divided as its arguments say."""
    options = flags.parse(_arguments(spec))
    if options.ranks > 1:
        shape = catalogue.read(spec.model_dir)
        layout = Layout(options.tensor_parallel, options.pipeline_parallel, options.expert_parallel)
        if reason := engines.forbidden_transformers(shape, layout) or misfit(shape, layout):
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
    return counters.read(metrics, PREFIX)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    return {**ENVIRONMENT, **base}
