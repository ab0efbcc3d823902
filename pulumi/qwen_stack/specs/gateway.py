"""Manifests of the gateway: HAProxy, its files, and the services by which clients and Prometheus reach it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from qwen_stack.settings import Gateway
from qwen_stack.specs import haproxy, manifest
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    Manifest,
    apart,
    app,
    container_security,
    exposed,
    metadata,
    pod_security,
    probe,
    service,
)

NAME = "gateway"
METRICS_NAME = "gateway-metrics"
CONFIG_DIR = "/etc/haproxy"
# Time in which every node stops sending to a gateway that ends, before it refuses connections.
WITHDRAWAL_S = 5


def memory_mib(gateway: Gateway) -> int:
    """Memory limit: both buffers of every connection, and 128 MiB for everything else."""
    return 128 + -(-2 * gateway.max_connections * haproxy.buffer_bytes(gateway) // 2**20)


def clients_map(api_keys: Mapping[str, str]) -> str:
    """Lines of `<SHA-256 of a key> <name>`: the cluster holds no key, and the time of a lookup does not reveal one."""
    lines = (f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n" for name, key in sorted(api_keys.items()))
    return "".join(lines)


def clients_secret(clients: Any) -> Manifest:
    """`clients` is the map in base64: a string, or a pulumi Output of one."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(f"{NAME}-clients"),
        "type": "Opaque",
        "data": {"clients.map": clients},
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config_map(config: str) -> Manifest:
    return manifest.config_map(f"{NAME}-config", {"haproxy.cfg": config})


def stop_script(gateway: Gateway) -> str:
    """Hook before the pod ends. HAProxy lets streams finish on SIGUSR1; SIGTERM, which follows this hook, cuts them."""
    return f"sleep {WITHDRAWAL_S}; kill -USR1 1; sleep {gateway.drain_seconds}"


def container(gateway: Gateway, image: str) -> Manifest:
    return {
        "name": NAME,
        "image": image,
        "ports": [
            {"name": "http", "containerPort": haproxy.API_PORT},
            {"name": "metrics", "containerPort": haproxy.METRICS_PORT},
        ],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": f"{memory_mib(gateway)}Mi"},
        },
        # Health of the gateway itself: without a ready model server it still answers, with an error.
        "readinessProbe": probe("/healthz", "metrics", period_s=2, failures=2),
        "livenessProbe": probe("/healthz", "metrics", period_s=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", stop_script(gateway)]}}},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "clients", "mountPath": haproxy.KEYS_DIR, "readOnly": True},
        ],
    }


def deployment(gateway: Gateway, image: str, config_checksum: str, clients_checksum: Any) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME),
        "spec": {
            "replicas": gateway.replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": app(NAME)},
            "template": {
                "metadata": {
                    "labels": app(NAME),
                    "annotations": {"checksum/config": config_checksum, "checksum/clients": clients_checksum},
                },
                "spec": {
                    **NO_CLUSTER_ACCESS,
                    "affinity": apart(NAME),
                    "terminationGracePeriodSeconds": WITHDRAWAL_S + gateway.drain_seconds + 10,
                    "securityContext": pod_security(),
                    "containers": [container(gateway, image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{NAME}-config"}},
                        {"name": "clients", "secret": {"secretName": f"{NAME}-clients", "defaultMode": 0o440}},
                    ],
                },
            },
        },
    }


def gateway_service(gateway: Gateway) -> Manifest:
    if gateway.service.type == "LoadBalancer":
        return service(NAME, {"http": 80}, type="LoadBalancer")
    return exposed(NAME, "http", 80, gateway.service.node_port)


def metrics_service() -> Manifest:
    """Service whose name resolves to every gateway, for Prometheus."""
    return service(METRICS_NAME, {"metrics": haproxy.METRICS_PORT}, selector=app(NAME), clusterIP="None")
