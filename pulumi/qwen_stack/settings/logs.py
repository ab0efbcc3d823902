"""Shape of the key `logs` of a stack's configuration."""

from __future__ import annotations

from pydantic import Field

from qwen_stack.settings.section import MemoryQuantity, Section


class Logs(Section):
    """VictoriaLogs keeps what the stack's containers write, and a collector on each host brings it there."""

    retention_days: int = Field(default=14, ge=1, le=3650)
    """Age at which lines are dropped."""
    storage_limit: MemoryQuantity = "10Gi"
    """Room for the lines; the oldest are dropped before four fifths of it are full. They lie where `monitoring.storage`
    says, and end with the pod without it."""
    api_port: int = Field(default=6443, ge=1, le=65535)
    """Port at which each server of the cluster's API listens, for the collectors' network policy."""
