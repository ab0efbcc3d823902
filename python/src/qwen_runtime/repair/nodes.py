"""Facts about GPU hosts, from the objects of the cluster's API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qwen_runtime.repair import record

GPU_LABEL = "nvidia.com/gpu.present=true"
GPU_RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Node:
    """`boot_id` changes with every boot. `measured_since_s` is the start of the DCGM exporter that runs now. `gpus` are
    those that pods can have; `tainted` tells of the controller's own taint, and `body` is the object itself."""

    name: str
    uid: str
    boot_id: str
    ready: bool
    cordoned: bool
    measured_since_s: float | None
    tainted: bool
    gpus: int
    annotations: dict[str, str]
    body: dict[str, Any]


def nodes(found: Iterable[dict[str, Any]], exporters: Iterable[dict[str, Any]]) -> dict[str, Node]:
    """Nodes by their names. `exporters` are the pods of DCGM's exporter."""
    since: dict[str, float] = {}
    for pod in exporters:
        for container in pod.get("status", {}).get("containerStatuses", []):
            started = container.get("state", {}).get("running", {}).get("startedAt")
            if started:
                since[pod["spec"].get("nodeName", "")] = seconds(started)
    return {node["metadata"]["name"]: _node(node, since.get(node["metadata"]["name"])) for node in found}


def seconds(time: str) -> float:
    """Unix time of a time in the API's notation."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def _node(node: dict[str, Any], since_s: float | None) -> Node:
    status = node.get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return Node(
        name=node["metadata"]["name"],
        uid=node["metadata"].get("uid", ""),
        boot_id=status.get("nodeInfo", {}).get("bootID", ""),
        ready=conditions.get("Ready") == "True",
        cordoned=bool(node.get("spec", {}).get("unschedulable")),
        measured_since_s=since_s,
        tainted=record.is_tainted(node),
        gpus=int(status.get("allocatable", {}).get(GPU_RESOURCE, 0)),
        annotations=node["metadata"].get("annotations") or {},
        body=node,
    )
