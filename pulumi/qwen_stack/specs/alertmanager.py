"""Manifests of Alertmanager: one instance that groups alerts and hands them to a webhook, if one is set."""

from __future__ import annotations

import yaml

from qwen_stack.settings import Monitoring
from qwen_stack.specs.manifest import (
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

NAME = "alertmanager"
PORT = 9093
CONFIG_DIR = "/etc/alertmanager"
DATA_DIR = "/alertmanager"


def alertmanager_config(monitoring: Monitoring) -> str:
    url = monitoring.alert_webhook_url
    # A receiver without a target keeps alerts visible in the interface and sends them nowhere.
    receiver: Manifest = {"name": "webhook" if url else "none"}
    if url:
        receiver["webhook_configs"] = [{"url": url, "send_resolved": True}]
    route = {
        "receiver": receiver["name"],
        "group_by": ["alertname"],
        "group_wait": "10s",
        "group_interval": "1m",
        "repeat_interval": "4h",
    }
    return yaml.safe_dump({"route": route, "receivers": [receiver]}, sort_keys=False)


def files(monitoring: Monitoring) -> Manifest:
    return config_map(f"{NAME}-config", {"alertmanager.yml": alertmanager_config(monitoring)})


def container(image: str) -> Manifest:
    return {
        "name": NAME,
        # The image's entrypoint is the server itself.
        "image": image,
        "args": [
            f"--config.file={CONFIG_DIR}/alertmanager.yml",
            f"--storage.path={DATA_DIR}",
            # A single instance has no peers to gossip with.
            "--cluster.listen-address=",
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/-/ready", "http", period_s=3, failures=3),
        "livenessProbe": probe("/-/healthy", "http", period_s=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "data", "mountPath": DATA_DIR},
        ],
    }


def deployment(image: str, files: Manifest) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": app(NAME)},
            "template": {
                "metadata": {
                    "labels": app(NAME),
                    "annotations": {"checksum/config": checksum(*files["data"].values())},
                },
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": pod_security(),
                    "containers": [container(image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{NAME}-config"}},
                        # Silences and notification history last as long as the pod.
                        {"name": "data", "emptyDir": {"sizeLimit": "64Mi"}},
                    ],
                },
            },
        },
    }


def alertmanager_service(monitoring: Monitoring) -> Manifest:
    return exposed(NAME, "http", PORT, monitoring.alertmanager_node_port)
