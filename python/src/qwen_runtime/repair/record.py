"""The controller's own marks at a node: one annotation and one taint, written in one change or not at all.

The annotation says what was begun and when. How far it is follows from the node and its pods (steps.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_runtime.repair.events import Event

ANNOTATION = "qwen-onprem/repair"
# A person's word that the host was repaired; the controller takes it away when the test has passed.
REPAIRED = "qwen-onprem/repaired"
TAINT = {"key": "qwen-onprem/repair", "value": "drained", "effect": "NoSchedule"}
HOUR_S = 3600


class Unreadable(Exception):
    """Somebody else wrote the annotation."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A drain, with the fault that asked for it and the boot in which it began."""

    fault: str
    since_s: float
    boot_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """Times of the last hour's actions, the time up to which faults are over, and the drain that was begun."""

    actions_s: tuple[float, ...] = ()
    until_s: float = 0
    begun: Begun | None = None

    def acted(self, now_s: float, event: Event) -> Record:
        kept = (at_s for at_s in self.actions_s if at_s > now_s - HOUR_S)
        return Record((*kept, now_s), max(self.until_s, event.at_s))

    def began(self, now_s: float, event: Event) -> Record:
        fault = f"{event.row.fault} of GPU {event.gpu}"
        return replace(self.acted(now_s, event), begun=Begun(fault, now_s, event.boot_id))

    def ended(self, now_s: float) -> Record:
        return replace(self, until_s=max(self.until_s, now_s), begun=None)

    def recent(self, now_s: float) -> int:
        """Number of actions in the last hour."""
        return sum(at_s > now_s - HOUR_S for at_s in self.actions_s)

    def text(self) -> str:
        begun = self.begun and {"fault": self.begun.fault, "since_s": self.begun.since_s, "boot_id": self.begun.boot_id}
        return json.dumps({"actions_s": self.actions_s, "until_s": self.until_s, "begun": begun})


def read(annotations: dict[str, str]) -> Record:
    """Raises Unreadable for a value that this module did not write."""
    if ANNOTATION not in annotations:
        return Record()
    try:
        written = json.loads(annotations[ANNOTATION])
        begun = written["begun"] and Begun(**written["begun"])
        return Record(tuple(map(float, written["actions_s"])), float(written["until_s"]), begun)
    except (ValueError, TypeError, KeyError) as problem:
        raise Unreadable(f"annotation {ANNOTATION}: {problem}") from problem


def patch(node: dict[str, Any], record: Record, tainted: bool) -> list[dict[str, Any]]:
    """JSON patch of the controller's own keys, which the API refuses if the node has changed since it was read."""
    metadata = node["metadata"]
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    ]
    annotations = metadata.get("annotations")
    if annotations is None:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append({"op": "add", "path": _at(ANNOTATION), "value": record.text()})
    if record.begun is None and REPAIRED in (annotations or {}):
        operations.append({"op": "remove", "path": _at(REPAIRED)})
    return operations + _taint(node.get("spec", {}).get("taints"), tainted)


def is_tainted(node: dict[str, Any]) -> bool:
    return any(taint["key"] == TAINT["key"] for taint in node.get("spec", {}).get("taints") or ())


def _taint(taints: list[dict[str, Any]] | None, wanted: bool) -> list[dict[str, Any]]:
    """Operations on the list of taints, which the API would otherwise replace as a whole."""
    own = [index for index, taint in enumerate(taints or ()) if taint["key"] == TAINT["key"]]
    if wanted and not own:
        if taints is None:
            return [{"op": "add", "path": "/spec/taints", "value": [TAINT]}]
        return [{"op": "add", "path": "/spec/taints/-", "value": TAINT}]
    if not wanted and own:
        return [{"op": "remove", "path": f"/spec/taints/{own[0]}"}]
    return []


def _at(annotation: str) -> str:
    return f"/metadata/annotations/{annotation.replace('~', '~0').replace('/', '~1')}"
