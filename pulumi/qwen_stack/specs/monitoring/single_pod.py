"""Manifests of a server of monitoring: it reads its files, and keeps data on a volume or as long as the pod lives."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from qwen_stack.specs import manifest
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
    spread,
)


@dataclass(frozen=True, slots=True)
class SinglePod:
    """`files`, if there are any, are mounted at `config_dir`, and `data_dir` is writable. The entrypoint of the image,
    which is the server itself, takes `arguments`. With `secret`, the files are a Secret and no ConfigMap.
    With `on_volume`, the claim of its name holds the data. Several `replicas` find each other by the headless service
    `<name>-peers`, at `peer_port`. With an `account`, the pod holds its token. `ready` and `alive` are the paths that
    probes ask."""

    name: str
    port: int
    node_port: int | None
    data_dir: str
    arguments: tuple[str, ...]
    cpu_request: str
    memory_request: str
    memory_limit: str
    data_limit: str
    files: dict[str, str] = field(default_factory=dict)
    config_dir: str = ""
    secret: bool = False
    on_volume: bool = False
    replicas: int = 1
    peer_port: int | None = None
    account: str = ""
    ready: str = "/-/ready"
    alive: str = "/-/healthy"


def config(server: SinglePod) -> Manifest:
    return {**config_map(_config_name(server), server.files), "immutable": True}


def encoded_files(server: SinglePod) -> dict[str, str]:
    """Files as the data of a Secret."""
    return {name: base64.b64encode(text.encode()).decode() for name, text in server.files.items()}


def secret_config(server: SinglePod, data: Any) -> Manifest:
    """`data` is encoded_files(): a dictionary, or a pulumi Output of one."""
    name = metadata(_config_name(server))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": name, "type": "Opaque", "data": data, "immutable": True}


def deployment(server: SinglePod, image: str) -> Manifest:
    """A change of the server's files replaces its pods. Two at once would not share a volume."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    pod = {
        **NO_CLUSTER_ACCESS,
        **(_with_token(server.account) if server.account else {}),
        **(spread(server.name) if server.replicas > 1 else {}),
        "securityContext": pod_security(),
        "containers": [_container(server, image)],
        "volumes": [*_config_volume(server), {"name": "data", **_data(server)}],
    }
    several = server.replicas > 1
    return manifest.deployment(server.name, pod, replicas=server.replicas, strategy=rolling if several else None)


def service(server: SinglePod) -> Manifest:
    return exposed(server.name, "http", server.port, server.node_port)


def peers_name(server: SinglePod) -> str:
    return f"{server.name}-peers"


def peers(server: SinglePod) -> Manifest | None:
    """Service whose name resolves to every replica, ready or not; None for a single one."""
    if server.peer_port is None:
        return None
    ports = {"http": server.port, "peers": server.peer_port}
    return manifest.service(
        peers_name(server), ports, selector=app(server.name), clusterIP="None", publishNotReadyAddresses=True
    )


def _with_token(account: str) -> Manifest:
    return {"serviceAccountName": account, "automountServiceAccountToken": True}


def _config_name(server: SinglePod) -> str:
    """Name that follows from the files, so that a running pod keeps its own until it is replaced."""
    return f"{server.name}-config-{checksum(*server.files.values())[:10]}"


def _config_volume(server: SinglePod) -> list[Manifest]:
    if not server.files:
        return []
    if server.secret:
        return [{"name": "config", "secret": {"secretName": _config_name(server), "defaultMode": 0o440}}]
    return [{"name": "config", "configMap": {"name": _config_name(server)}}]


def _data(server: SinglePod) -> Manifest:
    if server.on_volume:
        return {"persistentVolumeClaim": {"claimName": server.name}}
    # The node's disk: a new pod begins without data.
    return {"emptyDir": {"sizeLimit": server.data_limit}}


def _container(server: SinglePod, image: str) -> Manifest:
    files = [{"name": "config", "mountPath": server.config_dir, "readOnly": True}] if server.files else []
    peer_ports = [{"name": "peers", "containerPort": server.peer_port}] if server.peer_port else []
    return {
        "name": server.name,
        "image": image,
        "args": list(server.arguments),
        "ports": [{"name": "http", "containerPort": server.port}, *peer_ports],
        "resources": {
            "requests": {"cpu": server.cpu_request, "memory": server.memory_request},
            "limits": {"memory": server.memory_limit},
        },
        "readinessProbe": probe(server.ready, "http", period_s=3, failures=3),
        "livenessProbe": probe(server.alive, "http", period_s=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [*files, {"name": "data", "mountPath": server.data_dir}],
    }
