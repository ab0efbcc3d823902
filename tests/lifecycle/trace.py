"""Traces that a lab could leave on a machine, recorded before `make up` and compared after `make down`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab.paths import STATE

BEFORE = Path("/run/qwen-onprem-trace.json")
PROGRAMS = {
    "kubelet",
    "containerd",
    "etcd",
    "kube-apiserver",
    "flanneld",
    "kube-router",
    "registry",
    "haproxy",
    "envoy",
    "nginx",
    "sshd",
    "conmon",
    "ssh",
    "qemu-system-x86",
    "prometheus",
    "prometheus-aler",  # the kernel keeps 15 letters of prometheus-alertmanager
}
# The hosts share the machine's kernel. These settings count events, or act when they are read or written.
COUNTERS = (
    *("fs.aio-nr", "fs.dentry-state", "fs.file-nr", "fs.inode-", "fs.quota"),
    *("kernel.ns_last_pid", "kernel.pty.nr", "kernel.random"),
)
KERNEL = ("fs.", "kernel.", "vm.", "net.core.", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def read() -> dict[str, list[str]]:
    """Names of all objects on this machine, by kind, of the kinds that a lab makes."""
    return {
        "containers": _lines("podman", "ps", "--all", "--format", "{{.Names}}"),
        "volumes": _lines("podman", "volume", "ls", "--quiet"),
        "networks": _lines("podman", "network", "ls", "--format", "{{.Name}}"),
        "interfaces": _lines("ip", "-o", "-br", "link", "show"),
        "namespaces": _lines("ip", "netns", "list"),
        "mounts": sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()),
        "forwarding": _lines("iptables", "-S", "FORWARD"),
        "processes": sorted(name for p in Path("/proc").glob("[0-9]*/comm") if (name := _comm(p)) in PROGRAMS),
        "kernel": [
            s for s in _lines("sysctl", "--all", "--ignore") if s.startswith(KERNEL) and not s.startswith(COUNTERS)
        ],
        "state": sorted(map(str, STATE.rglob("*"))),
    }


def _lines(*argv: str) -> list[str]:
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    # The name is enough: a link's state and a bridge's address may change by themselves.
    return sorted(line.split()[0] if argv[0] == "ip" else line for line in done.stdout.splitlines())


def _comm(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


if __name__ == "__main__":
    BEFORE.write_text(json.dumps(read()))
