"""Manifests of a model server: its pods, its plan, and the service by which the gateway finds it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwen_stack import rollouts
from qwen_stack.settings.stack import Model
from qwen_stack.specs import engine_keys, manifest, node_folder
from qwen_stack.specs.manifest import (
    GPU_RESOURCE,
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    app,
    checksum,
    container_security,
    gpu_pod,
    metadata,
    pod_security,
    probe,
    service,
    spread,
)
from qwen_stack.specs.node_folder import NodeFolder

API_PORT = 8080
HEALTH_PORT = 8081
# Time that a pod needs after its drain: the engine's exit takes up to 15 s.
GRACE_MARGIN_S = 30
STARTUP_PERIOD_S = 5
READINESS_PERIOD_S = 2
# Time until the gateway uses a replica that is ready: it asks the cluster's DNS every second, then makes a check.
LEARN_S = 10
# Reading weights of any size takes less than 300 MB; the rest is room for the kernel's cache.
VERIFY_MEMORY = "512Mi"
WATCHED_SUFFIX = "-watched"
# Engines keep compiled kernels there. A pod that writes more is ended, before it fills its host's disk.
TMP_LIMIT = "20Gi"
# Its value is the class that priority.py gives the pod.
PRIORITY = "qwen-onprem/priority"
PLAN_DIR = "/etc/qwen-runtime"
PLAN_FILE = "plan.json"
COMPILED_DIR = "/var/cache/qwen-runtime"
# The provider takes a field from another owner only where this is asked for: without it, a model that followed the
# requests could not be given a fixed number again.
OWN_NUMBER: Manifest = {"annotations": {"pulumi.com/patchForce": "true"}}
STRATEGIES = {
    rollouts.SURGE: {"maxSurge": 1, "maxUnavailable": 0},
    rollouts.IN_PLACE: {"maxSurge": 0, "maxUnavailable": 1},
}


def grace_seconds(model: Model) -> int:
    return model.drain_seconds + GRACE_MARGIN_S


def settling_seconds(model: Model) -> int:
    """Time for which a new replica is ready before an old one ends. It is 0 if the gateway knows another replica that
    answers; otherwise the gateway needs the time to learn of the new one."""
    known = model.fewest_replicas - (1 if rollouts.choose(model).kind == rollouts.SURGE else 2)
    return LEARN_S if known < 1 else 0


def replacement_seconds(model: Model) -> int:
    """Longest time from the end of one replica until another one is ready."""
    return model.startup_seconds + grace_seconds(model) + settling_seconds(model)


def rollout_seconds(model: Model) -> int:
    """Longest time of a healthy rollout, which replaces replicas one after the other."""
    return (model.replicas + 1) * replacement_seconds(model)


def arguments(model: Model, group: Sequence[str] = ()) -> list[str]:
    """Command line of `serve`, with the arguments of a `group`. It does not repeat the plan, which `serve` reads."""
    argv = ["serve", "--engine", model.engine, "--model", f"/models/{model.name}"]
    argv += ["--plan", f"{PLAN_DIR}/{PLAN_FILE}"] if model.plan else []
    argv += ["--served-model-name", model.served_name, "--port", str(API_PORT), "--health-port", str(HEALTH_PORT)]
    argv += ["--keys", f"{engine_keys.ACCEPTED_DIR}/{engine_keys.ACCEPTED_FILE}"]
    argv += ["--max-model-len", str(model.max_model_len)]
    argv += ["--dtype", model.dtype] if model.dtype else []
    argv += ["--drain-seconds", str(model.drain_seconds), *group]
    return [*argv, "--", *model.extra_args] if model.extra_args else argv


def plan_file(model: Model) -> Manifest | None:
    """ConfigMap with the plan; None without one. A changed plan has another name, so that running pods keep theirs."""
    if model.plan is None:
        return None
    return manifest.fixed_config_map(f"{model.server}-plan", {PLAN_FILE: model.plan.text})


def weights(model: Model) -> NodeFolder:
    return NodeFolder("weights", f"{model.path}/{model.name}")


def compiled(model: Model) -> NodeFolder | None:
    """Folder of the hosts that keeps what engines compile; the kubelet makes it writable for the pod's group."""
    return NodeFolder("compiled", model.compile_cache, read_only=False) if model.compile_cache else None


def folders(model: Model) -> list[NodeFolder]:
    """Folders of the hosts that its pods mount."""
    return [folder for folder in (weights(model), compiled(model)) if folder]


def compile_cache(model: Model, image: str) -> list[str]:
    """Arguments that keep compiled code, by a name that follows from all that it depends on beside the host itself. The
    pod warms its engine first, so that what features compile is kept too."""
    if model.compile_cache is None:
        return []
    plan = model.plan.text if model.plan else ""
    key = checksum(image, plan, *arguments(model), *(f"{name}={value}" for name, value in sorted(model.env.items())))
    return ["--compile-cache", f"{COMPILED_DIR}/{key[:16]}", "--warm"]


def weights_mount(model: Model) -> Manifest:
    return {"name": "weights", "mountPath": f"/models/{model.name}", "readOnly": True}


def verification(model: Model, image: str) -> Manifest:
    """Init container that refuses wrong weights before the server starts, which checks them again."""
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
        "args": arguments(model, compile_cache(model, image)),
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
            engine_keys.mount(),
            *([{"name": "plan", "mountPath": PLAN_DIR, "readOnly": True}] if model.plan else []),
            *([{"name": "compiled", "mountPath": COMPILED_DIR}] if model.compile_cache else []),
        ],
    }


def pod_template(model: Model, image: str, server: Manifest, runtime_class: str) -> Manifest:
    plan, kept = plan_file(model), compiled(model)
    return {
        "metadata": {"labels": {**app(model.server), "qwen-onprem/model": model.name, PRIORITY: model.priority}},
        "spec": {
            **NO_CLUSTER_ACCESS,
            **gpu_pod(runtime_class, model.hosts),
            **spread(model.server),
            "terminationGracePeriodSeconds": grace_seconds(model),
            "securityContext": pod_security(),
            "initContainers": [verification(model, image)],
            "containers": [server],
            "volumes": [
                {"name": "weights", **node_folder.source(weights(model))},
                {"name": "tmp", "emptyDir": {"sizeLimit": TMP_LIMIT}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": model.shared_memory}},
                engine_keys.volume(),
                *([{"name": "plan", "configMap": {"name": plan["metadata"]["name"]}}] if plan else []),
                *([{"name": "compiled", **node_folder.source(kept)}] if kept else []),
            ],
        },
    }


def deployment(model: Model, image: str, runtime_class: str) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata(model.server), **({} if model.autoscaling else OWN_NUMBER)},
        "spec": {
            "replicas": model.fewest_replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": STRATEGIES[rollouts.choose(model).kind]},
            "minReadySeconds": settling_seconds(model),
            "progressDeadlineSeconds": replacement_seconds(model),
            "selector": {"matchLabels": app(model.server)},
            "template": pod_template(model, image, container(model, image), runtime_class),
        },
    }


def discovery(model: Model) -> Manifest:
    """Service whose name resolves to every ready pod, so that the gateway itself chooses one."""
    return service(model.server, {"http": API_PORT, "health": HEALTH_PORT}, clusterIP="None")


def watched_name(model: Model) -> str:
    return f"{model.server}{WATCHED_SUFFIX}"


def watched(model: Model) -> Manifest:
    """Service whose name resolves to every pod, for Prometheus: one that starts, stalls or fails is not ready."""
    return service(
        watched_name(model),
        {"health": HEALTH_PORT},
        selector=app(model.server),
        clusterIP="None",
        publishNotReadyAddresses=True,
    )
