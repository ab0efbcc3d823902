"""Rule and alert about the repair controller."""

from __future__ import annotations

from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.manifest import Manifest


def recording_rules() -> list[Manifest]:
    return [
        {
            "record": "serving:repair_last_pass:age_seconds",
            "expr": "time() - max(qwen_repair_last_pass_timestamp_seconds)",
        },
        {"record": "serving:repair_step:bool", "expr": "max by (node, step) (qwen_repair_step)"},
        {"record": "serving:repair_events:faults", "expr": "sum by (node, action) (qwen_repair_events)"},
    ]


def alerts() -> list[Alert]:
    return [
        Alert(
            name="RepairBlind",
            expression="serving:repair_last_pass:age_seconds > 120",
            holds="1m",
            severity="warning",
            owner="platform",
            summary="The repair controller does not see the GPUs or the nodes",
            impact="None for users; nobody is told what a fault of a GPU asks for.",
            found="no whole pass for {{ $value | humanizeDuration }}",
            needed="one every 15 s",
            remedy="Read its log: it names the server that gives no answer, Prometheus or the cluster's API.",
            look="`kubectl -n <namespace> logs deployment/repair`",
        ),
        Alert(
            name="RepairWaits",
            expression='serving:repair_step:bool{step=~"drained|to-test|failed"} > 0',
            holds="5m",
            severity="warning",
            owner="platform",
            summary="{{ $labels.node }} is {{ $labels.step }}, and its repair needs a person",
            impact="Its GPUs serve nobody.",
            found="a host out of service for 5 minutes",
            needed="a repair and a passed test",
            remedy="Reset the GPU or restart the host, then say so: docs/operate/repair.md. A failed step says why in "
            "the log.",
            look="`kubectl -n <namespace> logs deployment/repair`, `kubectl describe node <node>`",
        ),
    ]
