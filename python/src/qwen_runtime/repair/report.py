"""Reports of the controller: an Event at the node, which the API keeps for an hour, and series for Prometheus."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from qwen_runtime.repair.events import Event
from qwen_runtime.repair.nodes import Node
from qwen_runtime.repair.steps import State
from qwen_runtime.repair.table import VERSION, Action

COMPONENT = "qwen-repair"
# Events about objects without a namespace lie there.
EVENTS_NAMESPACE = "default"


def told(event: Event, node: Node, observing: bool) -> dict[str, Any]:
    """The API's Event, whose name is the event's own: telling it again changes nothing."""
    at = datetime.fromtimestamp(event.at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": EVENTS_NAMESPACE},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid},
        "reason": "GpuFault",
        "message": f"{'Would' if observing else 'To do:'} {event.row.action.words}: GPU {event.gpu}, "
        f"{event.row.fault}, {event.row.reason} "
        f"(table {VERSION}, boot {event.boot_id}{', observing only' if observing else ''})",
        "type": "Normal" if event.row.action == Action.IGNORE else "Warning",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


class Figures:
    """Series of the controller itself."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.events: list[Event] = []
        self.dropped: dict[str, int] = {}
        self.failures = 0
        self.states: dict[str, State] = {}
        self.held: dict[str, str] = {}

    def text(self) -> str:
        live: dict[tuple[str, str], int] = {}
        for event in self.events:
            key = (event.node, event.row.action.name.lower())
            live[key] = live.get(key, 0) + 1
        lines = [
            *_head("qwen_repair_last_pass_timestamp_seconds", "gauge", "End of the last pass that saw everything."),
            f"qwen_repair_last_pass_timestamp_seconds {self.passed_s}",
            *_head("qwen_repair_failed_passes_total", "counter", "Passes that did not see everything."),
            f"qwen_repair_failed_passes_total {self.failures}",
            *_head("qwen_repair_events", "gauge", "Faults that have not expired, by what the table says."),
            *(
                f'qwen_repair_events{{node="{node}",action="{action}"}} {count}'
                for (node, action), count in sorted(live.items())
            ),
            *_head("qwen_repair_step", "gauge", "How far the repair of a host is; only while the controller may act."),
            *(
                f'qwen_repair_step{{node="{node}",step="{state.step.value}"}} 1'
                for node, state in sorted(self.states.items())
            ),
            *_head("qwen_repair_held", "gauge", "Hosts with a fault that is left alone; the log says why."),
            f"qwen_repair_held {len(self.held)}",
            *_head("qwen_repair_dropped_changes", "gauge", "Changes in the window that are no events."),
            *(
                f'qwen_repair_dropped_changes{{reason="{reason}"}} {count}'
                for reason, count in sorted(self.dropped.items())
            ),
        ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
