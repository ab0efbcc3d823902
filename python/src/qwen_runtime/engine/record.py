"""The record of an engine: its half for the planner, for `serve`, for `score` and for Prometheus.

Each engine has one module, which makes the parts; registry.py puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen_runtime.engine.series import Exported
from qwen_runtime.engine.spec import ServingEngine
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.memory import Memory
from qwen_runtime.sizing.shape import Shape

if TYPE_CHECKING:
    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.job import Job
    from qwen_runtime.engine.score.texts import Item, Span


@dataclass(frozen=True, slots=True)
class Decision:
    """A layout that the planner took, with all that an engine's arguments say of it."""

    shape: Shape
    gpu: Gpu
    layout: Layout
    memory: Memory
    """Memory of each GPU."""
    nodes: int
    """Hosts that hold one replica together."""
    context_tokens: int
    """Longest prompt and answer together."""
    sequences: int
    """Most requests that one attention group runs at once: as many as its headroom is counted for."""
    utilization: float
    """Share of a GPU that the engine may take."""
    offload_gib: int = 0
    """Host memory in which one attention group keeps what its KV cache pushes out."""


def _no_environment(decision: Decision) -> dict[str, str]:
    return {}


def _no_warning(shape: Shape) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class PlannedEngine:
    """The planner's half of an engine."""

    reason: str
    """Why a plan is for this engine."""
    forbidden: Callable[[Shape, Gpu, Layout], str | None]
    """Why the engine does not run this layout on this GPU; None where it does."""
    arguments: Callable[[Decision], list[str]]
    """Command line that starts the engine with this layout, one word an entry."""
    environment: Callable[[Decision], dict[str, str]] = _no_environment
    """Variables that the engine reads beside its arguments."""
    over_nodes: bool = False
    """Whether one replica may be divided over several hosts."""
    stages_overlap: bool = True
    """Whether pipeline stages work on batches of their own at the same time, or wait for one another."""
    fp8_cache: bool = False
    """Whether it can keep keys and values in FP8."""
    offloads: bool = False
    """Whether it can keep keys and values in host memory."""
    whole_embedding: bool = False
    """Whether every rank holds all of an embedding that is not the output projection too."""
    warning: Callable[[Shape], str | None] = _no_warning
    """A fact that an operator should know before taking this engine for this model."""
    unpredicted: str | None = None
    """Why no speed is predicted; None where it is."""


@dataclass(frozen=True, slots=True)
class ScoringEngine:
    """The half of an engine that `score` runs."""

    quantizes: bool
    """Whether weights may be quantized while they are loaded."""
    processes: Callable[[dict[str, Any], int | None, str | None], int]
    """Number of processes for a config.json, the wanted stages and the wanted quantization. UsageError where they do
    not go together."""
    run: Callable[[Job, dict[str, Any], list[Item], list[Span], list[Batch]], dict[str, Any] | None]
    """Scores, as one of these processes; None in those that have no result."""


@dataclass(frozen=True, slots=True)
class Engine:
    """All that is known of one engine; a half that it does not have is None."""

    planned: PlannedEngine
    server: ServingEngine | None = None
    exported: Exported | None = None
    """Metrics of the server."""
    scorer: ScoringEngine | None = None
