"""The page of the dashboards: one pod that asks Prometheus what the pages say, for sites without a Grafana."""

from __future__ import annotations

from qwen_stack.dashboards import plain
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import manifest
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    container_security,
    lone_pod,
    probe,
    service,
)
from qwen_stack.specs.monitoring import scrape_jobs

NAME, PORT = "dashboards", 8093
CONFIG_DIR, FILE = "/etc/dashboards", "pages.json"


def config(settings: Settings) -> Manifest:
    """Pages under a name that follows from them, so that other pages are another pod."""
    return manifest.fixed_config_map(f"{NAME}-config", {FILE: plain.text(settings.monitoring.scrape_seconds)})


def deployment(settings: Settings) -> Manifest:
    files = {"name": "config", "configMap": {"name": config(settings)["metadata"]["name"]}}
    return manifest.deployment(NAME, {**NO_CLUSTER_ACCESS, **lone_pod(_container(settings), [files])})


def discovery() -> Manifest:
    """Service inside the cluster. The network policies let nobody in: `kubectl port-forward` reaches the pod itself."""
    return service(NAME, {"http": PORT})


def _container(settings: Settings) -> Manifest:
    prometheus = f"http://{scrape_jobs.PROMETHEUS}.{settings.service_domain}:{scrape_jobs.PROMETHEUS_PORT}"
    return {
        "name": NAME,
        "image": settings.images.runtime,
        "args": [
            "dashboards",
            f"--pages={CONFIG_DIR}/{FILE}",
            f"--prometheus={prometheus}",
            "--host=0.0.0.0",
            f"--port={PORT}",
        ],
        "env": NO_GPUS,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/health", "http", period_s=5, failures=3),
        "livenessProbe": probe("/health", "http", period_s=30, failures=3),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}],
    }
