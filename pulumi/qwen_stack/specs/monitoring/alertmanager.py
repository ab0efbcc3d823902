"""Alertmanager: it groups alerts and sends them to a webhook, if one is set; two of them send each alert once."""

from __future__ import annotations

import yaml

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.monitoring import notifications
from qwen_stack.specs.monitoring.single_pod import SinglePod

NAME = "alertmanager"
PORT, PEER_PORT = 9093, 9094
CONFIG_DIR = "/etc/alertmanager"
DATA_DIR = "/alertmanager"


def alertmanager_config(monitoring: Monitoring) -> str:
    return yaml.safe_dump(notifications.config(monitoring), sort_keys=False)


def cluster_arguments(replicas: int, service_domain: str) -> tuple[str, ...]:
    """Arguments by which several find each other. The name of the peers resolves to all of them."""
    if replicas == 1:
        return ("--cluster.listen-address=",)
    return (
        f"--cluster.listen-address=0.0.0.0:{PEER_PORT}",
        f"--cluster.peer={NAME}-peers.{service_domain}.:{PEER_PORT}",
    )


def server(settings: Settings) -> SinglePod:
    monitoring = settings.monitoring
    replicas = monitoring.alertmanager_replicas
    return SinglePod(
        name=NAME,
        port=PORT,
        node_port=monitoring.alertmanager_node_port,
        files={"alertmanager.yml": alertmanager_config(monitoring)},
        config_dir=CONFIG_DIR,
        data_dir=DATA_DIR,
        arguments=(
            f"--config.file={CONFIG_DIR}/alertmanager.yml",
            f"--storage.path={DATA_DIR}",
            *cluster_arguments(replicas, settings.service_domain),
        ),
        cpu_request="10m",
        memory_request="32Mi",
        memory_limit="256Mi",
        # The address of a webhook is often all that it takes to write there.
        secret=True,
        # Silences and the history of notifications.
        data_limit="64Mi",
        # Two keep a copy of each other's state.
        on_volume=monitoring.storage is not None and replicas == 1,
        replicas=replicas,
        peer_port=PEER_PORT if replicas > 1 else None,
    )
