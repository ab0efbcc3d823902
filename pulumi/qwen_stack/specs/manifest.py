"""Parts that manifests share. A manifest is a plain dictionary in Kubernetes' own spelling, without a namespace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Manifest = dict[str, Any]

PART_OF = {"app.kubernetes.io/part-of": "qwen-onprem", "app.kubernetes.io/managed-by": "pulumi"}
APP_NAME = "app.kubernetes.io/name"
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
# A node that is gone takes the only pod of a part with it. Until the limiter has moved, each gateway counts alone;
# Kubernetes by itself waits five minutes.
GONE_AFTER_S = 20


def template_of(spec: Manifest) -> Manifest | None:
    """Template of the pods that an object makes, by its specification; None for one that makes none."""
    template: Manifest | None = _job(spec).get("template")
    return template


def with_pods(spec: Manifest, **keys: Any) -> Manifest:
    """Specification of an object whose pods, if it makes any, have these keys too."""
    template = template_of(spec)
    if template is None:
        return spec
    changed = {"template": {**template, "spec": {**template["spec"], **keys}}}
    if "jobTemplate" in spec:
        return {**spec, "jobTemplate": {**spec["jobTemplate"], "spec": {**_job(spec), **changed}}}
    return {**spec, **changed}


def _job(spec: Manifest) -> Manifest:
    """Part of a specification that has the template: a CronJob's is that of its jobs."""
    job: Manifest = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
    return job


def app(name: str) -> dict[str, str]:
    """The label that selects the pods of one part."""
    return {APP_NAME: name}


def metadata(name: str) -> Manifest:
    return {"name": name, "labels": app(name)}


def checksum(*texts: str) -> str:
    """Digest for the name of an object: other contents are another object, and replace the pods that use it."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def deployment(name: str, pod: Manifest, *, replicas: int = 1, strategy: Manifest | None = None) -> Manifest:
    """Deployment of pods that are labelled with its name; `pod` is their spec.

    Without a strategy the old pod ends before the new one starts: two at once would share a volume, or count twice.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name),
        "spec": {
            "replicas": replicas,
            "strategy": strategy or {"type": "Recreate"},
            "selector": {"matchLabels": app(name)},
            "template": {"metadata": {"labels": app(name)}, "spec": pod},
        },
    }


def daemon_set(name: str, pod: Manifest) -> Manifest:
    """One pod on each host that it fits, labelled with its name; `pod` is their spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(name),
        "spec": {
            "selector": {"matchLabels": app(name)},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": app(name)}, "spec": pod},
        },
    }


def lone_pod(container: Manifest, volumes: list[Manifest]) -> Manifest:
    """Part of the only pod of a part: on the hosts of the model servers, which have its image, and soon on another one
    when its own is lost."""
    return {
        "nodeSelector": GPU_NODES,
        "tolerations": [*GPU_TOLERATIONS, *(_gone(state) for state in ("not-ready", "unreachable"))],
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": volumes,
    }


def _gone(state: str) -> Manifest:
    """Toleration that ends soon after a node was lost."""
    key = f"node.kubernetes.io/{state}"
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": GONE_AFTER_S}


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


def fixed_config_map(prefix: str, data: dict[str, str]) -> Manifest:
    """ConfigMap whose name follows from what it has: other contents are another one, and running pods keep theirs."""
    return {**config_map(f"{prefix}-{checksum(*data.values())[:8]}", data), "immutable": True}


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


def spread(name: str) -> Manifest:
    """Part of pods that go to as many hosts as there are, evenly; a small site may still put them together.

    Pods of the template before, which a rollout ends, do not count.
    """
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": app(name)},
        "matchLabelKeys": ["pod-template-hash"],
    }
    return {"topologySpreadConstraints": [constraint]}


def probe(path: str, port: str, *, period_s: int, failures: int, timeout_s: int = 5) -> Manifest:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "failureThreshold": failures,
        "timeoutSeconds": timeout_s,
    }
