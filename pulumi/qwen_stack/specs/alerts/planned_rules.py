"""`serving:planned_*` series: what the stack's file and its plans promise, so that planned stands beside seen."""

from __future__ import annotations

from qwen_stack.settings.stack import Settings
from qwen_stack.specs.manifest import Manifest


def recording_rules(settings: Settings) -> list[Manifest]:
    figures: list[tuple[str, float, dict[str, str]]] = [
        ("planned_gateways:replicas", settings.gateway.replicas, {}),
        ("planned_gateway_connections:connections", settings.gateway.max_connections, {}),
        ("planned_gpus_per_host:gpus", settings.monitoring.gpus_per_host, {}),
    ]
    figures += [("planned_backups:hosts", 1, {"node": name}) for name in settings.monitoring.control_plane_hosts]
    for model in settings.models:
        labels = {"server": model.server, "model_name": model.served_name}
        figures += [
            ("planned_replicas:replicas", model.fewest_replicas, labels),
            ("planned_gpus:gpus", model.replicas * model.gpus_per_replica, labels),
            ("planned_context:tokens", model.max_model_len, labels),
        ]
    return [
        {"record": f"serving:{name}", "expr": f"vector({value})", **({"labels": labels} if labels else {})}
        for name, value, labels in figures
    ]
