"""The plan of a model (`qwen-runtime plan --json`), read by the package's own reader, and the keys that it fills in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime import plan
from qwen_runtime.engine.registry import servers
from qwen_runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that fits its hosts; pods get its text unchanged."""

    text: str
    document: plan.Document


def read(path: Path, name: str) -> Plan:
    """Plan in a file that messages call `name`. Raises UsageError if it is no plan, PlanError if it does not fit."""
    try:
        text = path.read_bytes()
    except OSError as error:
        needed = "a file written by `qwen-runtime plan ... --json`"
        raise UsageError(f"{name}, which cannot be read ({error.strerror})", needed, "Correct the path.") from error
    document = plan.parse(text, name)
    return Plan(text.decode(), document)


def requests_of_a_replica(chosen: Plan) -> int:
    """Requests in flight of one replica while the site has those that it was planned for."""
    document = chosen.document
    return -(-document.concurrency // document.pods.replicas)


def sizes(chosen: Plan, spare_replicas: Any) -> dict[str, Any]:
    """The keys of an entry of `models` that its plan fills in."""
    document, pods = chosen.document, chosen.document.pods
    spare = spare_replicas if isinstance(spare_replicas, int) else 0
    engine = {"engine": document.engine} if document.engine in servers() else {}
    return {
        **engine,
        "maxModelLen": document.max_model_len,
        "replicas": max(1, pods.replicas - spare),
        "gpusPerReplica": document.gpus_per_replica,
        "nodesPerReplica": document.nodes_per_replica,
        "cpuRequest": pods.cpu_request,
        "memoryRequest": pods.memory_request,
        "memoryLimit": pods.memory_limit,
        "sharedMemory": pods.shared_memory,
        "drainSeconds": pods.drain_seconds,
        "startupSeconds": pods.startup_seconds,
    }
