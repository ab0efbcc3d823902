"""Manifests of the model servers: pods that answer for one model, and the service by which the gateway finds them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwen_stack import rollouts
from qwen_stack.settings import Model
from qwen_stack.specs.manifest import (
    GPU_RESOURCE,
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    apart,
    app,
    checksum,
    config_map,
    container_security,
    gpu_pod,
    metadata,
    pod_security,
    probe,
    service,
)

API_PORT = 8080
HEALTH_PORT = 8081
# What a pod needs beyond its drain: the engine's exit takes up to 15 s.
GRACE_MARGIN_S = 30
STARTUP_PERIOD_S = 5
READINESS_PERIOD_S = 2
# From a replica's first answer until the gateway uses it: the cluster's DNS is asked every second, then a check passes.
LEARN_S = 10
# Reading weights takes less than 300 MB however large they are; the rest is room for the kernel's cache.
VERIFY_MEMORY = "512Mi"
PLAN_DIR = "/etc/qwen-runtime"
PLAN_FILE = "plan.json"
STRATEGIES = {
    rollouts.SURGE: {"maxSurge": 1, "maxUnavailable": 0},
    rollouts.IN_PLACE: {"maxSurge": 0, "maxUnavailable": 1},
}


def grace_seconds(model: Model) -> int:
    return model.drain_seconds + GRACE_MARGIN_S


def settling_seconds(model: Model) -> int:
    """How long a new replica is ready before an old one ends: time for the gateway to learn of it, where it would
    otherwise know of none that answers."""
    known = model.replicas - (1 if rollouts.choose(model).kind == rollouts.SURGE else 2)
    return LEARN_S if known < 1 else 0


def replacement_seconds(model: Model) -> int:
    """The longest that it takes to end one replica and have another one ready."""
    return model.startup_seconds + grace_seconds(model) + settling_seconds(model)


def rollout_seconds(model: Model) -> int:
    """The longest that a healthy rollout takes: replicas are replaced one after the other."""
    return (model.replicas + 1) * replacement_seconds(model)


def arguments(model: Model, more: Sequence[str] = ()) -> list[str]:
    """`more` are arguments of `serve` itself. What a plan says, `serve` reads in the plan."""
    words = ["serve", "--engine", model.engine, "--model", f"/models/{model.name}"]
    words += ["--plan", f"{PLAN_DIR}/{PLAN_FILE}"] if model.plan else []
    words += ["--served-model-name", model.served_name, "--port", str(API_PORT), "--health-port", str(HEALTH_PORT)]
    words += ["--max-model-len", str(model.max_model_len)]
    words += ["--dtype", model.dtype] if model.dtype else []
    words += ["--drain-seconds", str(model.drain_seconds), *more]
    return [*words, "--", *model.extra_args] if model.extra_args else words


def plan_file(model: Model) -> Manifest | None:
    """The plan for the pods; None without one. Another plan is another object, so that old pods keep theirs."""
    if model.plan is None:
        return None
    name = f"{model.server}-plan-{checksum(model.plan.text)[:8]}"
    return {**config_map(name, {PLAN_FILE: model.plan.text}), "immutable": True}


def weights_mount(model: Model) -> Manifest:
    return {"name": "weights", "mountPath": f"/models/{model.name}", "readOnly": True}


def verification(model: Model, image: str) -> Manifest:
    """Refuses wrong weights before the server starts, as deep as the stack says; the server itself looks once more."""
    depth = ["--full"] if model.verify == "full" else []
    return {
        "name": "verify-weights",
        "image": image,
        "command": ["qwen-runtime"],
        "args": ["weights", "verify", f"/models/{model.name}", *depth],
        "env": NO_GPUS,
        "resources": {
            "requests": {"cpu": model.cpu_request, "memory": VERIFY_MEMORY},
            "limits": {"memory": VERIFY_MEMORY},
        },
        "securityContext": container_security(),
        "volumeMounts": [weights_mount(model)],
    }


def container(model: Model, image: str) -> Manifest:
    gpus = {GPU_RESOURCE: str(model.gpus_per_pod)}
    return {
        "name": "model-server",
        "image": image,
        "command": ["qwen-runtime"],
        "args": arguments(model),
        "env": [{"name": name, "value": value} for name, value in sorted({"HOME": "/tmp/home", **model.env}.items())],
        "ports": [
            {"name": "http", "containerPort": API_PORT},
            {"name": "health", "containerPort": HEALTH_PORT},
        ],
        "resources": {
            "requests": {"cpu": model.cpu_request, "memory": model.memory_request, **gpus},
            "limits": {"memory": model.memory_limit, **gpus},
        },
        "startupProbe": probe(
            "/health/startup",
            "health",
            period_s=STARTUP_PERIOD_S,
            failures=math.ceil(model.startup_seconds / STARTUP_PERIOD_S),
        ),
        "readinessProbe": probe("/health/ready", "health", period_s=READINESS_PERIOD_S, failures=2),
        "livenessProbe": probe("/health/live", "health", period_s=10, failures=3),
        "securityContext": container_security(),
        "volumeMounts": [
            weights_mount(model),
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
            *([{"name": "plan", "mountPath": PLAN_DIR, "readOnly": True}] if model.plan else []),
        ],
    }


def pod_template(model: Model, image: str, server: Manifest, runtime_class: str) -> Manifest:
    plan = plan_file(model)
    return {
        "metadata": {"labels": {**app(model.server), "qwen-onprem/model": model.name}},
        "spec": {
            **NO_CLUSTER_ACCESS,
            **gpu_pod(runtime_class, model.hosts),
            "affinity": apart(model.server),
            "terminationGracePeriodSeconds": grace_seconds(model),
            "securityContext": pod_security(),
            "initContainers": [verification(model, image)],
            "containers": [server],
            "volumes": [
                # Directory, not DirectoryOrCreate: a host without weights says so in the pod's events.
                {"name": "weights", "hostPath": {"path": f"{model.path}/{model.name}", "type": "Directory"}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": model.shared_memory}},
                *([{"name": "plan", "configMap": {"name": plan["metadata"]["name"]}}] if plan else []),
            ],
        },
    }


def deployment(model: Model, image: str, runtime_class: str) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(model.server),
        "spec": {
            "replicas": model.replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": STRATEGIES[rollouts.choose(model).kind]},
            "minReadySeconds": settling_seconds(model),
            "progressDeadlineSeconds": replacement_seconds(model),
            "selector": {"matchLabels": app(model.server)},
            "template": pod_template(model, image, container(model, image), runtime_class),
        },
    }


def discovery(model: Model) -> Manifest:
    """A name that resolves to every ready pod, so that the gateway itself chooses among them."""
    return service(model.server, {"http": API_PORT, "health": HEALTH_PORT}, clusterIP="None")
