"""Parts that manifests share. A manifest is a plain dictionary in Kubernetes' own spelling, without a namespace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Manifest = dict[str, Any]

PART_OF = {"app.kubernetes.io/part-of": "qwen-onprem", "app.kubernetes.io/managed-by": "pulumi"}
# The label and the taint that GPU nodes carry where NVIDIA's device plugin runs.
GPU_RESOURCE = "nvidia.com/gpu"
GPU_NODES = {"nvidia.com/gpu.present": "true"}
GPU_TOLERATIONS = [{"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}]
USER = 10001
# Part of every pod: no token for the cluster's API, and no variables that name its services.
NO_CLUSTER_ACCESS = {"automountServiceAccountToken": False, "enableServiceLinks": False}
# Tells the runtime class which GPUs a container sees. Images built on NVIDIA's say all, so a container that needs none
# must say so.
VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES"
NO_GPUS = [{"name": VISIBLE_DEVICES, "value": "void"}]


def app(name: str) -> dict[str, str]:
    """The label that selects the pods of one part."""
    return {"app.kubernetes.io/name": name}


def metadata(name: str) -> Manifest:
    return {"name": name, "labels": app(name)}


def checksum(*texts: str) -> str:
    """Digest for an annotation of a pod template: without it, a change of configuration alone would replace no pods."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def service(name: str, ports: dict[str, int], **spec: Any) -> Manifest:
    """Service of the pods that are labelled with its name, unless `selector` says otherwise."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": {
            "selector": app(name),
            "ports": [{"name": port, "port": number, "targetPort": port} for port, number in ports.items()],
            **spec,
        },
    }


def exposed(name: str, port: str, number: int, node_port: int | None) -> Manifest:
    """Service inside the cluster and, if it has a node port, on the address of every node too."""
    manifest = service(name, {port: number}, type="ClusterIP" if node_port is None else "NodePort")
    if node_port is not None:
        manifest["spec"]["ports"][0]["nodePort"] = node_port
    return manifest


def config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": data}


def disruption_budget(name: str) -> Manifest:
    """Budget that lets drains and upgrades of nodes evict one pod at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": app(name)}},
    }


def gpu_pod(runtime_class: str, hosts: Mapping[str, str] = MappingProxyType({})) -> Manifest:
    """Part of the pods that use GPUs: the runtime class that brings the driver into their containers, and the nodes
    that they may run on. `hosts` are further labels of these nodes."""
    return {
        "runtimeClassName": runtime_class,
        "nodeSelector": {**hosts, **GPU_NODES},
        "tolerations": GPU_TOLERATIONS,
    }


def pod_security(user: int = USER) -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def apart(name: str) -> Manifest:
    """Affinity that prefers a different host for each pod; a small site may still put them together."""
    term = {"labelSelector": {"matchLabels": app(name)}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def probe(path: str, port: str, *, period_s: int, failures: int, timeout_s: int = 5) -> Manifest:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "failureThreshold": failures,
        "timeoutSeconds": timeout_s,
    }
