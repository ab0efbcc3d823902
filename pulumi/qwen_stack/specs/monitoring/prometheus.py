"""Prometheus: its configuration and its server. It finds pods by DNS, so it needs no right to list anything."""

from __future__ import annotations

import yaml

from qwen_stack.rules.models import quantity_bytes
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.alerts import alert_rules
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
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [f"{CONFIG_DIR}/rules.yml"],
        "alerting": {"alertmanagers": [scrape_jobs.alertmanagers(settings)]},
        "scrape_configs": scrape_jobs.scrape_configs(settings),
    }
    return yaml.safe_dump(config, sort_keys=False, width=120)


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
        data_limit=monitoring.storage_limit,
        on_volume=monitoring.storage is not None,
        account=cluster_access.ACCOUNT if monitoring.hosts else "",
    )
