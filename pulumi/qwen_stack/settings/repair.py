"""Shape of the key `repair` of a stack's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qwen_stack.settings.section import Section


class Repair(Section):
    """The controller that watches GPUs for faults and tells what its table says of each; in mode act it does so."""

    mode: Literal["observe", "act"] = "observe"
    """Whether the controller only tells, or restarts pods, drains hosts and brings tested hosts back."""
    actions_per_host_hour: int = Field(default=1, ge=1, le=10)
    """Most restarts and drains at one host within an hour."""
    actions_per_fleet_hour: int = Field(default=2, ge=1, le=100)
    """Most restarts and drains at all hosts together within an hour."""
    test_seconds: int = Field(default=120, ge=1, le=3600)
    """Time for which the test loads every GPU of a repaired host before it serves again."""

    expire_seconds: int = Field(default=600, ge=60, le=3600)
    """Age at which a fault no longer counts: nothing is made of what lies further back."""
    api_port: int = Field(default=6443, ge=1, le=65535)
    """Port at which each server of the cluster's API listens, for the network policy; not that of a load balancer."""
