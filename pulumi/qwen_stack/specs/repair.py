"""The repair controller: one pod that reads the GPUs' series and the cluster's nodes, and its account."""

from __future__ import annotations

import json
from typing import Any

from qwen_runtime.repair.actor import STOP

from qwen_stack.settings.stack import Settings
from qwen_stack.specs import manifest, model_server, priority, registry, rights
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    container_security,
    lone_pod,
    pod_security,
    probe,
    service,
)
from qwen_stack.specs.monitoring import scrape_jobs
from qwen_stack.specs.rights import CLUSTER_ROLE, ROLE

NAME, PORT = scrape_jobs.REPAIR, scrape_jobs.REPAIR_PORT
CONFIG_DIR, FILE = "/etc/repair", "repair.json"
INTERVAL_S = 15
# Measurements that a series may miss before its host or its exporter counts as away.
STALE_SCRAPES = 4
# Time that a test's pod may take to start, beside the test itself.
TEST_START_S = 600


def file(settings: Settings) -> str:
    """Settings as `qwen-runtime repair watch` reads them."""
    assert settings.repair
    document = {
        "namespace": settings.namespace,
        "prometheus": f"http://{scrape_jobs.PROMETHEUS}.{settings.service_domain}:{scrape_jobs.PROMETHEUS_PORT}",
        "stale_s": STALE_SCRAPES * settings.monitoring.scrape_seconds,
        "expire_s": settings.repair.expire_seconds,
        "interval_s": INTERVAL_S,
        "acting": _acting(settings) if acts(settings) else None,
    }
    return json.dumps(document, indent=1) + "\n"


def acts(settings: Settings) -> bool:
    return settings.repair is not None and settings.repair.mode == "act"


def _acting(settings: Settings) -> dict[str, Any]:
    assert settings.repair
    repair = settings.repair
    return {
        "per_node_hour": repair.actions_per_host_hour,
        "per_fleet_hour": repair.actions_per_fleet_hour,
        # Budgets let pods leave one after the other, each when the one before has started elsewhere.
        "drain_s": max(model_server.rollout_seconds(model) for model in settings.models),
        "test_s": repair.test_seconds + TEST_START_S,
        "gpus": settings.monitoring.gpus_per_host,
        "test_pod": test_pod(settings, repair.test_seconds),
    }


def test_pod(settings: Settings, seconds: int) -> Manifest:
    """Pod of the loaded test; the controller adds its name, its host and all GPUs of it."""
    login = {"imagePullSecrets": [{"name": registry.NAME}]} if settings.registry_login else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {
            **NO_CLUSTER_ACCESS,
            **login,
            "restartPolicy": "Never",
            "runtimeClassName": settings.gpu_runtime_class,
            "priorityClassName": f"{settings.namespace}-{priority.SERVING}",
            "activeDeadlineSeconds": seconds + TEST_START_S,
            "securityContext": pod_security(),
            "containers": [
                {
                    "name": "test",
                    "image": settings.images.runtime,
                    "args": ["repair", "test", "--seconds", str(seconds)],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "1Gi"},
                        "limits": {"memory": "16Gi"},
                    },
                    "securityContext": container_security(),
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
    }


def config(settings: Settings) -> Manifest:
    """Settings under a name that follows from them, so that other settings are another pod."""
    return manifest.fixed_config_map(f"{NAME}-config", {FILE: file(settings)})


def account() -> Manifest:
    return rights.account(NAME)


def role(settings: Settings) -> Manifest:
    """Rights of the account in the whole cluster: nodes, and events about them, lie in no namespace of the stack."""
    acting = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    ]
    return rights.role(
        CLUSTER_ROLE,
        rights.in_cluster(NAME, settings.namespace),
        [
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
            *(acting if acts(settings) else []),
        ],
    )


def binding(settings: Settings) -> Manifest:
    return rights.binding(CLUSTER_ROLE, rights.in_cluster(NAME, settings.namespace), NAME, settings.namespace)


def own_role() -> Manifest:
    """Rights in the stack's namespace, for a controller that acts: pods of tests, and the switch that stops it."""
    return rights.role(
        ROLE,
        NAME,
        [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [STOP], "verbs": ["get"]},
        ],
    )


def own_binding(settings: Settings) -> Manifest:
    return rights.binding(ROLE, NAME, NAME, settings.namespace)


def deployment(settings: Settings) -> Manifest:
    """One pod: two controllers never run at once."""
    files = {"name": "config", "configMap": {"name": config(settings)["metadata"]["name"]}}
    pod = lone_pod(_container(settings.images.runtime), [files])
    return manifest.deployment(NAME, {"serviceAccountName": NAME, "enableServiceLinks": False, **pod})


def discovery() -> Manifest:
    """Service whose name is the address of the pod, for Prometheus."""
    return service(NAME, {"metrics": PORT}, clusterIP="None")


def _container(image: str) -> Manifest:
    return {
        "name": NAME,
        "image": image,
        "args": ["repair", "watch", "--file", f"{CONFIG_DIR}/{FILE}", "--port", str(PORT)],
        "env": NO_GPUS,
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/health", "metrics", period_s=5, failures=3),
        "livenessProbe": probe("/health", "metrics", period_s=30, failures=3),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}],
    }
