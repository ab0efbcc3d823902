"""podman as the lab uses it, and the label by which the lab finds its containers again."""

from __future__ import annotations

import json
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
    """Whether the container's first process really exists.

    podman says that a container still runs whose processes were all killed, as in a power cut. It knows the number of
    the first process only, which another process may have by now. runc compares the time of the start as well.
    """
    identity = attempt("podman", "inspect", "--format", "{{.Id}}", container).stdout.strip()
    state = attempt("runc", "state", identity)
    return state.returncode == 0 and json.loads(state.stdout)["status"] == "running"


def remove(container: str) -> None:
    argv = ("podman", "rm", "--force", "--volumes", "--time", "0", container)
    # Where another process has the number of the container's, the first attempt only finds out that it ended.
    if attempt(*argv).returncode:
        output(*argv)
