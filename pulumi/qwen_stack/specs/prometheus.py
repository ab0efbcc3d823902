"""Prometheus: its configuration and its server. It finds pods by DNS, so it needs no right to read the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from qwen_stack.settings import Monitoring
from qwen_stack.specs import alert_rules, alertmanager, dcgm_exporter, gateway, gateway_routes, limits, model_server
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.single_pod import SinglePod

NAME = "prometheus"
PORT = 9090
CONFIG_DIR = "/etc/prometheus"
DATA_DIR = "/prometheus"
MODEL_SERVERS = "model-server"
SUPERVISORS = "supervisor"
SINGLE_TARGETS = {alertmanager.NAME: f"{alertmanager.NAME}:{alertmanager.PORT}", NAME: f"localhost:{PORT}"}


def pod_job(name: str, services: Sequence[str], port: int, domain: str) -> Manifest:
    """Scrape job for every pod that headless services list; `domain` follows their names in DNS."""
    hosts = [f"{service}.{domain}." for service in services]
    job: Manifest = {
        "job_name": name,
        "dns_sd_configs": [{"names": hosts, "type": "A", "port": port, "refresh_interval": "10s"}],
    }
    if name == gateway.NAME:
        # Series that were never counted have nothing to report.
        job["params"] = {"usedonly": [""]}
    if name == dcgm_exporter.NAME:
        job["metric_relabel_configs"] = [{"source_labels": ["Hostname"], "target_label": "node"}]
    return job


def prometheus_config(monitoring: Monitoring, domain: str, servers: Sequence[str], limited: bool = False) -> str:
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
            pod_job(gateway.NAME, [gateway.METRICS_NAME], gateway_routes.METRICS_PORT, domain),
            *([pod_job(limits.NAME, [limits.NAME], limits.PORT, domain)] if limited else []),
            pod_job(MODEL_SERVERS, servers, model_server.API_PORT, domain),
            pod_job(SUPERVISORS, servers, model_server.HEALTH_PORT, domain),
            pod_job(dcgm_exporter.NAME, [dcgm_exporter.NAME], dcgm_exporter.PORT, domain),
            *({"job_name": job, "static_configs": [{"targets": [at]}]} for job, at in SINGLE_TARGETS.items()),
        ],
    }
    return yaml.safe_dump(config, sort_keys=False, width=120)


def server(monitoring: Monitoring, domain: str, servers: Sequence[str], limited: bool = False) -> SinglePod:
    """`servers` are the names of the model servers' services. `limited` tells whether there is a limiter."""
    return SinglePod(
        name=NAME,
        port=PORT,
        node_port=monitoring.prometheus_node_port,
        files={
            "prometheus.yml": prometheus_config(monitoring, domain, servers, limited),
            "rules.yml": alert_rules.rules_file(monitoring),
        },
        config_dir=CONFIG_DIR,
        data_dir=DATA_DIR,
        arguments=(
            f"--config.file={CONFIG_DIR}/prometheus.yml",
            f"--storage.tsdb.path={DATA_DIR}",
            f"--storage.tsdb.retention.time={monitoring.retention}",
        ),
        cpu_request="50m",
        memory_request="128Mi",
        memory_limit="2Gi",
        data_limit=monitoring.storage_limit,
    )
