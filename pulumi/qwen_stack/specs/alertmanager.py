"""Alertmanager: one instance that groups alerts and sends them to a webhook, if one is set."""

from __future__ import annotations

import yaml

from qwen_stack.monitoring_settings import Monitoring
from qwen_stack.specs import notifications
from qwen_stack.specs.single_pod import SinglePod

NAME = "alertmanager"
PORT = 9093
CONFIG_DIR = "/etc/alertmanager"
DATA_DIR = "/alertmanager"


def alertmanager_config(monitoring: Monitoring) -> str:
    return yaml.safe_dump(notifications.config(monitoring), sort_keys=False)


def server(monitoring: Monitoring) -> SinglePod:
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
            # A single instance has no peers to gossip with.
            "--cluster.listen-address=",
        ),
        cpu_request="10m",
        memory_request="32Mi",
        memory_limit="256Mi",
        # The address of a webhook is often all that it takes to write there.
        secret=True,
        # Silences and the history of notifications.
        data_limit="64Mi",
    )
