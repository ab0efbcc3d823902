"""Prometheus: its configuration and its server. It finds pods by DNS, so it needs no right to list anything."""

from __future__ import annotations

import yaml

from qwen_stack.rules.models import quantity_bytes
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.monitoring import cluster_access, scrape_jobs
from qwen_stack.specs.monitoring.single_pod import SinglePod

NAME, PORT = scrape_jobs.PROMETHEUS, scrape_jobs.PROMETHEUS_PORT
CONFIG_DIR = "/etc/prometheus"
DATA_DIR = "/prometheus"
# Alerts that hold for longer go on after a restart as if there had been none. By itself Prometheus does so for those
# above ten minutes alone: nearly all of this stack would begin to wait anew, and be told as resolved meanwhile.
REMEMBERED_FROM = "30s"


def prometheus_config(settings: Settings) -> str:
    interval = f"{settings.monitoring.scrape_seconds}s"
    config: Manifest = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [f"{CONFIG_DIR}/rules.yml"],
        "alerting": {"alertmanagers": [scrape_jobs.alertmanagers(settings)]},
        "scrape_configs": scrape_jobs.scrape_configs(settings),
    }
    if settings.monitoring.remote_write_url:
        config["remote_write"] = [_remote_write(settings.monitoring.remote_write_url, settings.namespace)]
    return yaml.safe_dump(config, sort_keys=False, width=120)


def _remote_write(url: str, namespace: str) -> Manifest:
    """Sending of what has one meaning whatever the engine, under the name of the stack that wrote it."""
    kept = {"source_labels": ["__name__"], "regex": "serving:.*|up|ALERTS", "action": "keep"}
    named = {"target_label": "stack", "replacement": namespace}
    return {"url": url, "write_relabel_configs": [kept, named]}


def retention_bytes(limit: str) -> int:
    """Bytes of data above which the oldest go. The rest is for what is being written and compacted."""
    return quantity_bytes(limit) * 4 // 5


def server(settings: Settings) -> SinglePod:
    monitoring = settings.monitoring
    return SinglePod(
        name=NAME,
        port=PORT,
        node_port=monitoring.prometheus_node_port,
        files={"prometheus.yml": prometheus_config(settings), "rules.yml": alert_rules.rules_file(settings)},
        config_dir=CONFIG_DIR,
        data_dir=DATA_DIR,
        arguments=(
            f"--config.file={CONFIG_DIR}/prometheus.yml",
            f"--storage.tsdb.path={DATA_DIR}",
            f"--storage.tsdb.retention.time={monitoring.retention}",
            f"--rules.alert.for-grace-period={REMEMBERED_FROM}",
            f"--storage.tsdb.retention.size={retention_bytes(monitoring.storage_limit)}B",
        ),
        cpu_request="50m",
        memory_request="128Mi",
        memory_limit="2Gi",
        # The address of a store is often all that it takes to write there.
        secret=monitoring.remote_write_url is not None,
        data_limit=monitoring.storage_limit,
        on_volume=monitoring.storage is not None,
        account=cluster_access.ACCOUNT if monitoring.hosts else "",
    )
