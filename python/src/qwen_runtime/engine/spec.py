"""What `serve` and an engine say to each other, whatever the engine's own flags are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Of every engine, unless the environment says otherwise: nothing is fetched, reported or asked for outside the site.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    # A fork after the tokenizer's threads started would only warn and serialise; on a CPU the model needs their cores.
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True)
class Rank:
    """One node's place in a group of nodes that hold one model together."""

    nodes: int
    rank: int
    leader_address: str
    rendezvous_port: int
    """Of the leader: where the engine's own processes find each other."""

    @property
    def leads(self) -> bool:
        """The leader, rank 0, answers the API; the others only compute."""
        return self.rank == 0


@dataclass(frozen=True, slots=True)
class EngineSpec:
    model_dir: Path
    served_model_name: str
    port: int
    """The OpenAI contract is answered here."""
    max_model_len: int
    """Prompt and answer together, in tokens."""
    dtype: str
    planned: tuple[str, ...] = ()
    """The plan's arguments for this engine, first, so that everything else wins over them."""
    extra: tuple[str, ...] = ()
    """The engine's own arguments, passed on as they are, last, so that they win."""
    rank: Rank | None = None
    """None where one node holds the whole model."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at an engine's counters; None stands for what the engine does not tell."""

    requests: int | None
    """Requests that run or wait."""
    tokens: float | None
    """Tokens of prompts and answers computed since the start; any change of it is progress."""


class Server(Protocol):
    """The half of an engine that `serve` runs: the functions that its module offers."""

    def check_installed(self) -> str:
        """The engine's version; HostError where it is not installed."""

    def command(self, spec: EngineSpec) -> list[str]: ...

    def ranks(self, spec: EngineSpec) -> int:
        """How often the command is to be started on this host, each time as another rank."""

    def parallel_sizes(self, spec: EngineSpec) -> tuple[int, ...]:
        """How the planned and the extra arguments divide the model; the product is the number of GPUs, on all nodes
        together. UsageError where an argument is wrong, as far as it is known without the engine."""

    def own_flags(self) -> frozenset[str]:
        """Flags that `command` sets itself: a second value would silently win or lose."""

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Of the engine's process; what `base` says wins."""

    def read_progress(self, metrics: str) -> Progress:
        """What the text of /metrics says of requests and of tokens."""


def flags(words: Sequence[str]) -> frozenset[str]:
    """The long flags among the words of a command, without values, with hyphens."""
    return frozenset(word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--"))
