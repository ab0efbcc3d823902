"""Prometheus: its configuration and its server. It finds pods by DNS, so it needs no right to read the cluster."""

from __future__ import annotations

import yaml

from qwen_stack.settings import Settings
from qwen_stack.specs import alert_rules, alertmanager, scrape_jobs
from qwen_stack.specs.single_pod import SinglePod

NAME, PORT = scrape_jobs.PROMETHEUS, scrape_jobs.PROMETHEUS_PORT
CONFIG_DIR = "/etc/prometheus"
DATA_DIR = "/prometheus"


def prometheus_config(settings: Settings) -> str:
    interval = f"{settings.monitoring.scrape_seconds}s"
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [f"{CONFIG_DIR}/rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"{alertmanager.NAME}:{alertmanager.PORT}"]}]}]
        },
        "scrape_configs": scrape_jobs.scrape_configs(settings),
    }
    return yaml.safe_dump(config, sort_keys=False, width=120)


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
        ),
        cpu_request="50m",
        memory_request="128Mi",
        memory_limit="2Gi",
        data_limit=monitoring.storage_limit,
    )
