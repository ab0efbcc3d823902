"""The registry: every engine by the name that plans and commands call it. Nothing else compares engines' names."""

from __future__ import annotations

from qwen_runtime.engine import deepspeed, transformers, vllm
from qwen_runtime.engine.record import Engine, ScoringEngine
from qwen_runtime.engine.series import Exported
from qwen_runtime.engine.spec import ServingEngine

ENGINES: dict[str, Engine] = {
    "vllm": Engine(vllm.PLANNED, server=vllm, exported=vllm.EXPORTED),
    "transformers": Engine(
        transformers.PLANNED, server=transformers, exported=transformers.EXPORTED, scorer=transformers.SCORER
    ),
    "deepspeed": Engine(deepspeed.PLANNED, scorer=deepspeed.SCORER),
}
SERVES_BY_DEFAULT = "vllm"
SCORES_BY_DEFAULT = "deepspeed"


def servers() -> dict[str, ServingEngine]:
    """The engines that `serve` runs."""
    return {name: engine.server for name, engine in ENGINES.items() if engine.server}


def scorers() -> dict[str, ScoringEngine]:
    """The engines that `score` runs."""
    return {name: engine.scorer for name, engine in ENGINES.items() if engine.scorer}


def exported() -> dict[str, Exported]:
    """Names of the metrics of each engine that has some."""
    return {name: engine.exported for name, engine in ENGINES.items() if engine.exported}


def over_nodes() -> list[str]:
    """The engines that divide one replica over several hosts."""
    return [name for name, engine in ENGINES.items() if engine.planned.over_nodes]
