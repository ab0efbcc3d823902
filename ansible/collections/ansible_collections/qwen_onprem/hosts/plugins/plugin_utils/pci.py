"""GPUs among the PCI devices of a host, which are known there before any driver exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISPLAY_CLASS = "0x03"  # PCI base class of graphics and 3D controllers


def gpu_ids(found: Mapping[str, Any]) -> list[str]:
    """PCI ids of the GPUs in the answer of inspect_host.py, one per GPU."""
    return [device["id"] for device in found["nvidia_devices"] if device["class"].startswith(DISPLAY_CLASS)]
