"""Where things lie. Standard library only: the machine check imports it before anything is installed."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LAB = REPO / ".lab"
CACHE = Path(os.environ.get("QWEN_ONPREM_CACHE", "/var/cache/qwen-onprem"))
# One lab fits on a machine (addresses and ports are its own), so its owner is written outside any clone.
STATE = Path("/var/lib/qwen-onprem")

BIN = CACHE / "bin"
CONTROLLER_ENV = CACHE / "controller"
MIRROR_DATA = CACHE / "mirror"

KUBECONFIG = LAB / "kubeconfig"
API_KEY = LAB / "api-key"
SUMMARY = LAB / "summary.json"
LOGS = LAB / "logs"
