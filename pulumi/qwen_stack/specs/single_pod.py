"""Manifests of a server that needs one pod only: it reads its files and keeps its data as long as the pod lives."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

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
    itself, takes `arguments`. With `secret`, the files are a Secret and no ConfigMap."""

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
    secret: bool = False


def config(server: SinglePod) -> Manifest:
    return config_map(_config_name(server), server.files)


def encoded_files(server: SinglePod) -> dict[str, str]:
    """Files as the data of a Secret."""
    return {name: base64.b64encode(text.encode()).decode() for name, text in server.files.items()}


def secret_config(server: SinglePod, data: Any) -> Manifest:
    """`data` is encoded_files(): a dictionary, or a pulumi Output of one."""
    name = metadata(_config_name(server))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": name, "type": "Opaque", "data": data}


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
                        {"name": "config", **_config_source(server)},
                        # The node's disk: a new pod begins without data.
                        {"name": "data", "emptyDir": {"sizeLimit": server.data_limit}},
                    ],
                },
            },
        },
    }


def service(server: SinglePod) -> Manifest:
    return exposed(server.name, "http", server.port, server.node_port)


def _config_name(server: SinglePod) -> str:
    return f"{server.name}-config"


def _config_source(server: SinglePod) -> Manifest:
    if server.secret:
        return {"secret": {"secretName": _config_name(server), "defaultMode": 0o440}}
    return {"configMap": {"name": _config_name(server)}}


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
