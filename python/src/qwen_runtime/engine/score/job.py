"""The job of one run of scoring: the command writes it, every rank reads it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwen_runtime import errors
from qwen_runtime.engine import registry


@dataclass(frozen=True, slots=True)
class Job:
    model_dir: Path
    engine: str
    stages: int
    """Processes that the layers are divided over."""
    micro_batches: int
    """Parts of a batch that are in the pipeline at once."""
    batch_tokens: int
    """Tokens of one micro-batch, padding included. Its logits take vocabulary x 4 bytes a token."""
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
        """Writes why this rank ends; `explain` reads it for the command."""
        cause = [type(error).__name__, error.found, error.needed, error.remedy]
        (self.failures / os.environ["RANK"]).write_text(json.dumps(cause))

    def explain(self, rank: int) -> errors.Error | None:
        """The error that a rank wrote before it ended; None where it wrote none."""
        path = self.failures / str(rank)
        if not path.exists():
            return None
        kind, *parts = json.loads(path.read_bytes())
        error: errors.Error = getattr(errors, kind)(*parts)
        return error


def decode(text: str) -> Job:
    fields = json.loads(text)
    return Job(**{**fields, **{name: Path(fields[name]) for name in ("model_dir", "input", "output", "failures")}})


def command(job: Job) -> list[str]:
    """The command line that starts one rank."""
    return [sys.executable, "-m", "qwen_runtime.engine.score.rank", job.encode()]


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment of every rank; what `base` says wins."""
    return {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **base}


def choose_engine(
    name: str | None, stages: int | None, quantization: str | None, config: dict[str, Any]
) -> tuple[str, int]:
    """The engine and its number of processes for a model of that config.json. UsageError where they do not go."""
    scorers = registry.scorers()
    if name is None:
        quantizing = (other for other, scorer in scorers.items() if scorer.quantizes)
        name = next(quantizing) if quantization else registry.SCORES_BY_DEFAULT
    return name, scorers[name].processes(config, stages, quantization)
