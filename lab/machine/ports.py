"""The ports on 127.0.0.1 that the lab listens on, and who holds a port. Standard library only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

GATEWAY, PROMETHEUS, ALERTMANAGER = 8080, 9090, 9093
USES = {GATEWAY: "gateway", PROMETHEUS: "Prometheus", ALERTMANAGER: "Alertmanager"}
# `make serve` uses this one and the next: a lab may be up beside it.
SERVE = 8200
# `make dashboards` forwards this one to the page in the cluster while it runs.
DASHBOARDS = 8093

# The registry that stands in for other projects' ones, while images are made and fetched.
UPSTREAM = 5443


def taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def holder(port: int) -> str:
    """The listening process, as an end of a sentence; empty where /proc does not show it."""
    inodes = set(_listening_inodes(port))
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            pid = link.parts[2]
            return f" by {Path('/proc', pid, 'comm').read_text().strip()} (process {pid})"
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                yield fields[9]
