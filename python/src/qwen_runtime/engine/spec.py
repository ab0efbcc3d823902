"""The border between `serve` and an engine, whatever the engine's own flags are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Environment of every engine, unless the caller's says otherwise: nothing is fetched, reported or asked for outside
# the site.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    # A fork after the tokenizer's threads started would only warn and serialise; on a CPU the model needs their cores.
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


# Variables that say where compilers keep their results, and a folder for each. vLLM and, through it, DeepGEMM and
# FlashInfer's choice of kernels follow the first; the others are torch's, Triton's, FlashInfer's, CUTLASS', TileLang's
# and CUDA's.
CACHES = {
    "XDG_CACHE_HOME": "xdg",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "CUTE_DSL_CACHE_DIR": "cutlass",
    "TILELANG_CACHE_DIR": "tilelang",
    "CUDA_CACHE_PATH": "cuda",
}


@dataclass(frozen=True, slots=True)
class Rank:
    """One node's place in a group of nodes that hold one model together."""

    nodes: int
    rank: int
    leader_address: str
    rendezvous_port: int
    """Port of the leader where the engine's own processes find each other."""

    @property
    def leads(self) -> bool:
        """The leader, rank 0, answers the API; the others only compute."""
        return self.rank == 0


@dataclass(frozen=True, slots=True)
class EngineSpec:
    model_dir: Path
    served_model_name: str
    port: int
    """Port of the OpenAI API."""
    max_model_len: int
    """Prompt and answer together, in tokens."""
    dtype: str
    planned: tuple[str, ...] = ()
    """The plan's arguments for this engine. They come first, so that everything else wins over them."""
    extra: tuple[str, ...] = ()
    """The engine's own arguments, passed on as they are. They come last, so that they win."""
    rank: Rank | None = None
    """None where one node holds the whole model."""
    asks_for_key: bool = False
    """Whether requests need a key of the file that the environment names (door.py)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at an engine's counters; a counter that the engine does not export is None."""

    requests: int | None
    """Requests that run or wait."""
    tokens: float | None
    """Tokens of prompts and answers computed since the start; any change of it is progress."""


class ServingEngine(Protocol):
    """The half of an engine that `serve` runs: what its module offers."""

    PATHS: tuple[str, ...]
    """Paths by which it computes, each by POST."""
    TRACES_FLAG: str | None
    """Flag whose value is the address for its spans, by OpenTelemetry's own exporter; None where it sends none."""

    def check_installed(self) -> str:
        """The engine's version; HostError where it is not installed."""

    def command(self, spec: EngineSpec) -> list[str]: ...

    def ranks(self, spec: EngineSpec) -> int:
        """Number of processes to start with the command on this host, each as another rank."""

    def parallel_sizes(self, spec: EngineSpec) -> tuple[int, ...]:
        """How the planned and the extra arguments divide the model; the product is the number of GPUs, on all nodes
        together. UsageError where an argument is wrong, as far as it is known without the engine."""

    def own_flags(self) -> frozenset[str]:
        """Flags that `command` sets itself: a second value would silently win or lose."""

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Environment of the engine's process; `base` wins."""

    def read_progress(self, metrics: str) -> Progress:
        """The counts of requests and tokens in the text of /metrics."""


def flags(argv: Sequence[str]) -> frozenset[str]:
    """The long flags of a command line, without values, with hyphens."""
    return frozenset(word.partition("=")[0].replace("_", "-") for word in argv if word.startswith("--"))
