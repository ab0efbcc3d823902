"""The limiter: one process that counts what the keys use at all gateways, and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qwen_stack.settings.stack import GatewayLimits, KeyLimits
from qwen_stack.specs import manifest
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    config_map,
    container_security,
    lone_pod,
    probe,
    service,
)

NAME = "limits"
PORT, ENDS_PORT = 8090, 8091
CONFIG_DIR = "/etc/limits"
FILE = "limits.json"


def file(limits: GatewayLimits, hosts: Mapping[str, str]) -> str:
    """The limits as `qwen-runtime limits` reads them. `hosts` are the names in DNS of each served model's replicas."""
    document = {
        "default": _limit(limits.default),
        "keys": {name: _limit(limit) for name, limit in sorted(limits.keys.items())},
        "requests_per_replica": limits.requests_per_replica,
        "hosts": {name: hosts[name] for name in limits.requests_per_replica},
        "queue_seconds": limits.queue_seconds,
        "queue_requests": limits.queue_requests,
        "answer_tokens": limits.answer_tokens,
    }
    return json.dumps(document, indent=1) + "\n"


def _limit(limit: KeyLimits) -> dict[str, Any]:
    numbers = limit.model_dump(exclude_none=True, exclude={"service_class"})
    return {**numbers, "klass": limit.service_class}


def config(limits: GatewayLimits, hosts: Mapping[str, str]) -> Manifest:
    return config_map(f"{NAME}-config", {FILE: file(limits, hosts)})


def deployment(image: str) -> Manifest:
    """One pod: what it counts exists once. A change of the limits does not replace it."""
    files = {"name": "config", "configMap": {"name": f"{NAME}-config"}}
    return manifest.deployment(NAME, {**NO_CLUSTER_ACCESS, **lone_pod(_container(image), [files])})


def discovery() -> Manifest:
    """Service whose name is the address of the pod, for the gateways and for Prometheus."""
    return service(NAME, {"http": PORT, "ends": ENDS_PORT}, clusterIP="None")


def _container(image: str) -> Manifest:
    return {
        "name": NAME,
        "image": image,
        "args": ["limits", "--file", f"{CONFIG_DIR}/{FILE}"],
        "env": NO_GPUS,
        "ports": [{"name": "http", "containerPort": PORT}, {"name": "ends", "containerPort": ENDS_PORT}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/health", "http", period_s=2, failures=2),
        "livenessProbe": probe("/health", "http", period_s=10, failures=3),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}],
    }
