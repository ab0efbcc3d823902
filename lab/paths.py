"""Paths of the clone, the caches and the state. Standard library only: used before anything is installed."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LAB = REPO / ".lab"
CACHE = Path(os.environ.get("QWEN_ONPREM_CACHE", "/var/cache/qwen-onprem"))
# One lab fits on a machine, since its addresses and ports are fixed: so its owner is recorded outside any clone.
STATE = Path("/var/lib/qwen-onprem")

BIN = CACHE / "bin"
CONTROLLER_ENV = CACHE / "controller"
ENVOY = CACHE / "envoy"
ENVOY_PROGRAM = ENVOY / "envoy/_bin/envoy"
MIRROR_DATA = CACHE / "mirror"

KUBECONFIG = LAB / "kubeconfig"
API_KEY = LAB / "api-key"
SUMMARY = LAB / "summary.json"
LOGS = LAB / "logs"
