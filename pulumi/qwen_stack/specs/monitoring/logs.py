"""VictoriaLogs: the lines that the stack's containers write, for as long as there is room."""

from __future__ import annotations

from qwen_stack.settings.stack import Settings
from qwen_stack.specs.monitoring import scrape_jobs
from qwen_stack.specs.monitoring.prometheus import retention_bytes
from qwen_stack.specs.monitoring.single_pod import SinglePod

NAME, PORT = scrape_jobs.LOGS, scrape_jobs.LOGS_PORT
DATA_DIR = "/victoria-logs"
# What the runbook asks, in the language of VictoriaLogs (docs/operate/logs.md).
FAILED_REQUESTS = "_time:15m kubernetes.container_name:=gateway (status:>=500 or end:=UPE)"


def server(settings: Settings) -> SinglePod:
    assert settings.logs
    logs = settings.logs
    return SinglePod(
        name=NAME,
        port=PORT,
        node_port=None,
        data_dir=DATA_DIR,
        arguments=(
            f"-httpListenAddr=:{PORT}",
            f"-storageDataPath={DATA_DIR}",
            f"-retentionPeriod={logs.retention_days}d",
            f"-retention.maxDiskSpaceUsageBytes={retention_bytes(logs.storage_limit)}",
        ),
        cpu_request="50m",
        memory_request="128Mi",
        memory_limit="1Gi",
        data_limit=logs.storage_limit,
        on_volume=settings.monitoring.storage is not None,
        ready="/health",
        alive="/health",
    )
