"""Manifests of a server that needs one pod only: it reads a ConfigMap and keeps its data as long as the pod lives."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    Manifest,
    app,
    checksum,
    config_map,
    container_security,
    exposed,
    metadata,
    pod_security,
    probe,
)


@dataclass(frozen=True, slots=True)
class SinglePod:
    """`files` are mounted at `config_dir`, and `data_dir` is writable. The entrypoint of the image, which is the server
    itself, takes `arguments`."""

    name: str
    port: int
    node_port: int | None
    files: dict[str, str]
    config_dir: str
    data_dir: str
    arguments: tuple[str, ...]
    cpu_request: str
    memory_request: str
    memory_limit: str
    data_limit: str


def config(server: SinglePod) -> Manifest:
    return config_map(f"{server.name}-config", server.files)


def deployment(server: SinglePod, image: str) -> Manifest:
    """A change of the server's files replaces the pod."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(server.name),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": app(server.name)},
            "template": {
                "metadata": {
                    "labels": app(server.name),
                    "annotations": {"checksum/config": checksum(*server.files.values())},
                },
                "spec": {
                    **NO_CLUSTER_ACCESS,
                    "securityContext": pod_security(),
                    "containers": [_container(server, image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{server.name}-config"}},
                        # The node's disk: a new pod begins without data.
                        {"name": "data", "emptyDir": {"sizeLimit": server.data_limit}},
                    ],
                },
            },
        },
    }


def service(server: SinglePod) -> Manifest:
    return exposed(server.name, "http", server.port, server.node_port)


def _container(server: SinglePod, image: str) -> Manifest:
    return {
        "name": server.name,
        "image": image,
        "args": list(server.arguments),
        "ports": [{"name": "http", "containerPort": server.port}],
        "resources": {
            "requests": {"cpu": server.cpu_request, "memory": server.memory_request},
            "limits": {"memory": server.memory_limit},
        },
        "readinessProbe": probe("/-/ready", "http", period_s=3, failures=3),
        "livenessProbe": probe("/-/healthy", "http", period_s=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": server.config_dir, "readOnly": True},
            {"name": "data", "mountPath": server.data_dir},
        ],
    }
