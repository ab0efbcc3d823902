"""What a plan says of an engine, under what the command itself says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qwen_runtime import plan
from qwen_runtime.errors import UsageError
from qwen_runtime.plan import models


@dataclass(frozen=True, slots=True)
class Settings:
    max_model_len: int
    dtype: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    parameters: int | None = None
    """Of the model that was planned."""

    def check_model(self, model_dir: Path) -> None:
        """Raises UsageError where the verified weights are not those of the plan."""
        if self.parameters is None:
            return
        served = models.read(model_dir)
        if served.parameters != self.parameters:
            raise UsageError(
                f"--plan is for a model of {self.parameters:,} parameters, {model_dir} has {served.parameters:,}",
                "a plan of the model that is served",
                f"Plan it: qwen-runtime plan --model {model_dir} ... --json",
            )


def settings(path: Path | None, engine: str, max_model_len: int | None, dtype: str | None) -> Settings:
    """From the plan at `path`, if any; PlanError with the plan's own message where it does not fit."""
    if path is None:
        if max_model_len is None:
            raise UsageError("no --max-model-len and no --plan", "one of them", "Add the context, or a plan that fits.")
        return Settings(max_model_len, dtype or "bfloat16")
    found = plan.read(path)
    if engine not in found.launch:
        raise UsageError(
            f"{path} has no arguments for engine {engine}",
            f"one of its engines: {', '.join(found.launch)}",
            f"Plan for it: qwen-runtime plan ... --engine {engine}",
        )
    if max_model_len is not None and max_model_len > found.max_model_len:
        raise UsageError(
            f"--max-model-len {max_model_len}",
            f"at most {found.max_model_len} tokens, the context that {path} was planned for",
            "Lower it, or plan with a longer --context.",
        )
    return Settings(
        max_model_len if max_model_len is not None else found.max_model_len,
        dtype or found.dtype,
        tuple(found.launch[engine]),
        found.environment,
        found.parameters,
    )
