"""Manifests of Prometheus: it finds pods by the names of their services, and so needs no right to read the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from qwen_stack.settings import Monitoring
from qwen_stack.specs import alert_rules, alertmanager, dcgm_exporter, gateway, model_server
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

NAME = "prometheus"
PORT = 9090
CONFIG_DIR = "/etc/prometheus"
DATA_DIR = "/prometheus"
MODEL_SERVERS = "model-server"
SUPERVISORS = "supervisor"
SINGLE_TARGETS = {alertmanager.NAME: f"{alertmanager.NAME}:{alertmanager.PORT}", NAME: f"localhost:{PORT}"}


def pod_job(job: str, services: Sequence[str], port: int, domain: str) -> Manifest:
    """Scrape every pod that headless services list. `domain` is the one of the namespace's services."""
    names = [f"{service}.{domain}." for service in services]
    found: Manifest = {
        "job_name": job,
        "dns_sd_configs": [{"names": names, "type": "A", "port": port, "refresh_interval": "10s"}],
    }
    if job == gateway.NAME:
        # The slots that hold no server have nothing to report.
        found["params"] = {"no-maint": [""]}
    if job == dcgm_exporter.NAME:
        found["metric_relabel_configs"] = [{"source_labels": ["Hostname"], "target_label": "node"}]
    return found


def prometheus_config(monitoring: Monitoring, domain: str, servers: Sequence[str]) -> str:
    config = {
        "global": {
            "scrape_interval": f"{monitoring.scrape_seconds}s",
            "evaluation_interval": f"{monitoring.scrape_seconds}s",
        },
        "rule_files": [f"{CONFIG_DIR}/rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"{alertmanager.NAME}:{alertmanager.PORT}"]}]}]
        },
        "scrape_configs": [
            pod_job(gateway.NAME, [gateway.METRICS_NAME], gateway.METRICS_PORT, domain),
            pod_job(MODEL_SERVERS, servers, model_server.API_PORT, domain),
            pod_job(SUPERVISORS, servers, model_server.HEALTH_PORT, domain),
            pod_job(dcgm_exporter.NAME, [dcgm_exporter.NAME], dcgm_exporter.PORT, domain),
            *({"job_name": job, "static_configs": [{"targets": [at]}]} for job, at in SINGLE_TARGETS.items()),
        ],
    }
    return yaml.safe_dump(config, sort_keys=False, width=120)


def files(monitoring: Monitoring, domain: str, servers: Sequence[str]) -> Manifest:
    """`servers` are the names of the model servers' services."""
    data = {
        "prometheus.yml": prometheus_config(monitoring, domain, servers),
        "rules.yml": alert_rules.rules_file(monitoring),
    }
    return config_map(f"{NAME}-config", data)


def container(monitoring: Monitoring, image: str) -> Manifest:
    return {
        "name": NAME,
        # The image's entrypoint is the server itself.
        "image": image,
        "args": [
            f"--config.file={CONFIG_DIR}/prometheus.yml",
            f"--storage.tsdb.path={DATA_DIR}",
            f"--storage.tsdb.retention.time={monitoring.retention}",
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}},
        "readinessProbe": probe("/-/ready", "http", period_s=3, failures=3),
        "livenessProbe": probe("/-/healthy", "http", period_s=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "data", "mountPath": DATA_DIR},
        ],
    }


def deployment(monitoring: Monitoring, image: str, files: Manifest) -> Manifest:
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
                    "containers": [container(monitoring, image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{NAME}-config"}},
                        # On the node's disk for the pod's life: a new pod begins without history.
                        {"name": "data", "emptyDir": {"sizeLimit": monitoring.storage_limit}},
                    ],
                },
            },
        },
    }


def prometheus_service(monitoring: Monitoring) -> Manifest:
    return exposed(NAME, "http", PORT, monitoring.prometheus_node_port)
