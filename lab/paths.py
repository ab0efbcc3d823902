"""Paths of the clone, the caches and the state. Standard library only: used before anything is installed."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LAB = REPO / ".lab"
CACHE = Path(os.environ.get("QWEN_ONPREM_CACHE", "/var/cache/qwen-onprem"))
# One lab fits on a machine, since its addresses and ports are fixed: so its owner is recorded outside any clone.
STATE = Path("/var/lib/qwen-onprem")

BIN = CACHE / "bin"
CONTROLLER_LOCKS = (REPO / "locks/controller.txt", REPO / "locks/uv.txt")
CONTROLLER_DIGEST = hashlib.sha256(
    b"".join(lock.read_bytes() for lock in CONTROLLER_LOCKS) + sys.version.encode()
).hexdigest()
# One for each state of the lock: another clone, or another branch, may be at work with another one.
CONTROLLER_ENV = CACHE / f"controller-{CONTROLLER_DIGEST[:16]}"
ENVOY = CACHE / "envoy"
ENVOY_PROGRAM = ENVOY / "envoy/_bin/envoy"
MIRROR_DATA = CACHE / "mirror"

KUBECONFIG = LAB / "kubeconfig"
API_KEY = LAB / "api-key"
SUMMARY = LAB / "summary.json"
LOGS = LAB / "logs"
