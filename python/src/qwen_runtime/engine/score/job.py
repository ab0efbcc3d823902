"""What one run of scoring is to do: said by the command, read by every rank."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwen_runtime import errors
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing.shape import is_mixture

FAMILIES = ("qwen3_moe", "qwen3", "qwen2", "llama")
"""Values of model_type that the pipeline takes: decoders of equal layers between an embedding, a norm and a head."""
STAGES = 4
_DIVIDE_BY_LAYERS = "Divide the model by layers: --stages."


@dataclass(frozen=True, slots=True)
class Job:
    model_dir: Path
    engine: str
    stages: int
    """Processes that the layers are divided over; 1 for engine transformers."""
    micro_batches: int
    """Parts of a batch that are in the pipeline at once."""
    batch_tokens: int
    """Of one micro-batch, padding included. Its logits take vocabulary x 4 bytes a token."""
    max_length: int | None
    """Tokens that the model sees at once; None: its context."""
    dtype: str | None
    attention: str | None
    quantization: str | None
    input: Path
    output: Path
    failures: Path
    """Directory where a rank that fails on purpose says why."""

    def encode(self) -> str:
        return json.dumps(asdict(self), default=str)

    def fail(self, error: errors.Error) -> None:
        """What this rank says before it ends; `explain` tells the command."""
        words = [type(error).__name__, error.found, error.needed, error.remedy]
        (self.failures / os.environ["RANK"]).write_text(json.dumps(words))

    def explain(self, rank: int) -> errors.Error | None:
        """What a rank said before it ended; None where it could not say anything."""
        path = self.failures / str(rank)
        if not path.exists():
            return None
        kind, *words = json.loads(path.read_bytes())
        error: errors.Error = getattr(errors, kind)(*words)
        return error


def decode(text: str) -> Job:
    words = json.loads(text)
    return Job(**{**words, **{name: Path(words[name]) for name in ("model_dir", "input", "output", "failures")}})


def command(job: Job) -> list[str]:
    """Of each rank."""
    return [sys.executable, "-m", "qwen_runtime.engine.score.rank", job.encode()]


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Of every rank; what `base` says wins."""
    return {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **base}


def choose_engine(
    engine: str | None, stages: int | None, tensor_parallel: int, quantization: str | None, config: dict[str, Any]
) -> tuple[str, int]:
    """The engine and its number of processes for a model of that config.json. UsageError where they do not go."""
    engine = engine or ("transformers" if quantization else "deepspeed")
    if tensor_parallel > 1:
        raise UsageError(f"--tensor-parallel {tensor_parallel}", *_why_no_tensor_parallelism(config))
    if engine == "transformers":
        if stages is not None and stages > 1:
            raise UsageError(f"--stages {stages} with engine transformers", "one process", "Use engine deepspeed.")
        return engine, 1
    if quantization or config.get("quantization_config"):
        raise UsageError(
            f"--quantization {quantization} with engine deepspeed"
            if quantization
            else "a checkpoint that is quantized",
            "weights in bfloat16, float16 or float32: the stages take them from the shards as they are",
            "Use --engine transformers.",
        )
    family, layers = config.get("model_type"), int(config.get("num_hidden_layers", 0))
    if family not in FAMILIES or "sliding_attention" in (config.get("layer_types") or ()):
        raise UsageError(
            f"a model of type {family} for engine deepspeed",
            f"one of {', '.join(FAMILIES)}, with full attention in every layer",
            "Use --engine transformers.",
        )
    stages = stages or STAGES
    if stages > layers:
        raise UsageError(f"--stages {stages} for {layers} layers", "at least one layer a stage", "Lower --stages.")
    return engine, stages


def _why_no_tensor_parallelism(config: dict[str, Any]) -> tuple[str, str]:
    """DeepSpeed's own tensor parallelism, AutoTP, replaces the linear layers that it finds and nothing else."""
    if is_mixture(config):
        return (
            "layers that DeepSpeed's AutoTP divides: it leaves a mixture's experts, nearly all of its weights, "
            "whole on every rank",
            _DIVIDE_BY_LAYERS,
        )
    return "1: engine deepspeed is a pipeline, and engine transformers scores in one process", _DIVIDE_BY_LAYERS
