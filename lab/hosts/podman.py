"""podman as the lab uses it, and the label by which the lab finds its containers again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.paths import REPO
from lab.shell import attempt, output

LABEL = "qwen-onprem.clone"
# crun refuses the hybrid cgroup layout of machines that still have v1 controllers; runc takes both.
RUN = (
    *("podman", "--runtime", "runc", "run", "--label", f"{LABEL}={REPO}"),
    *("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1024:1024"),
)
SYSTEMD = ("--privileged", "--cgroupns", "private", "--systemd=always")
# The first process of a SYSTEMD container. With cgroup v1, podman mounts the machine's whole name=systemd hierarchy
# over the container's own. Each kubelet would find the pods of all other hosts there, and remove what it can of them.
INIT = (
    *("/bin/sh", "-ec"),
    "if [ -e /sys/fs/cgroup/systemd/release_agent ]; then umount --lazy /sys/fs/cgroup/systemd; fi; exec /sbin/init",
)


def containers() -> dict[str, dict[str, Any]]:
    """Every container of any clone's lab, running or not, by name."""
    listed = json.loads(output("podman", "ps", "--all", "--filter", f"label={LABEL}", "--format", "json") or "[]")
    return {c["Names"][0]: c for c in listed or []}


def alive(container: str) -> bool:
    """Whether the container's first process really exists. After a power cut podman may still say that it runs."""
    done = attempt("podman", "inspect", "--format", "{{.State.Running}} {{.State.Pid}}", container)
    running, _, pid = done.stdout.strip().partition(" ")
    return running == "true" and pid != "0" and Path("/proc", pid).exists()


def remove(container: str) -> None:
    output("podman", "rm", "--force", "--volumes", "--time", "0", container)


def image_exists(image: str) -> bool:
    return attempt("podman", "image", "exists", image).returncode == 0
