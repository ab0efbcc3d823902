"""Settings of an engine from a plan; what the command itself says wins over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qwen_runtime import plan
from qwen_runtime.engine import registry
from qwen_runtime.engine.spec import Rank
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue


@dataclass(frozen=True, slots=True)
class Settings:
    max_model_len: int | None
    """None: the model's context."""
    dtype: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    parameters: int | None = None
    """Parameters of the model that was planned."""
    quantization: str | None = None
    """Form of its weights."""
    nodes: int = 1
    """Nodes that hold one model together."""

    def check_model(self, model_dir: Path) -> None:
        """Raises UsageError where the verified weights are not those of the plan."""
        if self.parameters is None:
            return
        served = catalogue.read(model_dir)
        differences = (
            (f"{self.parameters:,} parameters", f"{served.parameters:,}"),
            (f"weights in {self.quantization}", f"weights in {served.quantization}"),
        )
        for planned, found in differences:
            if not planned.startswith(found):
                raise UsageError(
                    f"--plan is for a model of {planned}, {model_dir} has {found}",
                    "a plan of the model that is served",
                    f"Plan it: qwen-runtime plan --model {model_dir} ... --json",
                )


def settings(
    path: Path | None, engine: str, max_model_len: int | None, dtype: str | None, nodes: int | None = None
) -> Settings:
    """Settings from the plan at `path`, if any; PlanError with the plan's own message where it does not fit."""
    if path is None:
        return Settings(max_model_len, dtype or "bfloat16", nodes=nodes or 1)
    document = plan.read(path)
    if engine not in document.launch:
        raise UsageError(
            f"{path} has no arguments for engine {engine}",
            f"one of its engines: {', '.join(document.launch)}",
            f"Plan for it: qwen-runtime plan ... --engine {engine}",
        )
    if nodes is not None and nodes != document.nodes_per_replica:
        raise UsageError(
            f"--nodes {nodes}",
            f"{document.nodes_per_replica}, over which {path} divides the model",
            "Leave --nodes out, or plan for other hosts.",
        )
    if max_model_len is not None and max_model_len > document.max_model_len:
        raise UsageError(
            f"--max-model-len {max_model_len}",
            f"at most {document.max_model_len} tokens, the context that {path} was planned for",
            "Lower it, or plan with a longer --context.",
        )
    return Settings(
        max_model_len if max_model_len is not None else document.max_model_len,
        dtype or document.dtype,
        tuple(document.launch[engine]),
        document.environment,
        document.parameters,
        document.quantization,
        document.nodes_per_replica,
    )


def rank_of_node(
    engine: str, nodes: int, rank: int | None, leader_address: str | None, rendezvous_port: int, group_port: int
) -> Rank | None:
    """This node's place in its group; None where it is alone. UsageError where the flags do not say which it is."""
    if nodes == 1:
        if rank is not None or leader_address is not None:
            raise UsageError(
                "--node-rank or --leader-address for a model on one node",
                "--nodes, or a plan over several nodes",
                "Add it, or leave the two out.",
            )
        return None
    able = registry.over_nodes()
    if engine not in able:
        raise UsageError(
            f"--engine {engine} over {nodes} nodes",
            f"engine {' or '.join(able)}, which alone {'has' if len(able) == 1 else 'have'} ranks on other nodes",
            f"Take --engine {able[0]}, or a model that one node holds.",
        )
    if rank is None or leader_address is None or rank >= nodes:
        raise UsageError(
            f"a model over {nodes} nodes, --node-rank {rank} and --leader-address {leader_address}",
            f"--node-rank from 0 to {nodes - 1}, and in --leader-address where the node of rank 0 is reached",
            "Give both, on each node its own rank.",
        )
    if rendezvous_port == group_port:
        raise UsageError(
            f"--rendezvous-port and --group-port are both {group_port}", "two different ports", "Change one of them."
        )
    return Rank(nodes, rank, leader_address, rendezvous_port)
