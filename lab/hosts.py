"""The simulated bare-metal hosts: a systemd container for each host of inventory/local, reachable by ssh, bare."""

from __future__ import annotations

import shutil
import time
from typing import Any

import yaml

from lab import network, podman, rootfs
from lab.errors import LabError
from lab.paths import LAB, REPO, STATE
from lab.shell import attempt, output

PREFIX = "qwen-lab-"
KEY = LAB / "ssh/id_ed25519"
KNOWN_HOSTS = LAB / "ssh/known_hosts"
GATEWAY = LAB / "ssh/gateway"
DISKS = STATE / "hosts"


def inventory() -> dict[str, str]:
    """Host names and addresses of inventory/local, in its order."""
    found: dict[str, str] = {}
    _collect(yaml.safe_load((REPO / "inventory/local/hosts.yml").read_text()), found)
    return found


def _collect(groups: dict[str, Any], into: dict[str, str]) -> None:
    for group in groups.values():
        for host, variables in ((group or {}).get("hosts") or {}).items():
            if variables and "ansible_host" in variables:
                into[host] = variables["ansible_host"]
        _collect((group or {}).get("children") or {}, into)


def ensure() -> str | None:
    """Have every host up and reachable by ssh; None when all were."""
    started = []
    for host, address in inventory().items():
        if podman.alive(PREFIX + host):
            continue
        _install(host)
        _boot(host, address)
        started.append(host)
    if started:
        _trust()
    for host in inventory():
        _try_exec(host, "systemctl", "is-active", "ssh.service", "route.service")
    return f"started {', '.join(started)}" if started else None


def _install(host: str) -> None:
    """Give a new host its disk; a host that was cut off keeps the one it had."""
    disk = DISKS / host
    if disk.exists():
        return
    tar, _ = rootfs.build(rootfs.HOST)
    partial = disk.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    output("tar", "--extract", "--numeric-owner", "--xattrs", "--file", tar, "--directory", partial)
    _make_key()
    for source, target in ((KEY.with_suffix(".pub"), "root/.ssh/authorized_keys"), (GATEWAY, "etc/rack-gateway")):
        (partial / target).parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(source, partial / target)
    partial.rename(disk)


def _boot(host: str, address: str) -> None:
    # A container that is started again takes the cgroups of the others with it: a host boots as a new container from
    # the disk that it had, a plain folder of the machine's own file system, on which containerd can stack overlays.
    if PREFIX + host in podman.containers():
        podman.remove(PREFIX + host)
    addresses = {network.MIRROR_NAME: network.MIRROR, **inventory()}
    output(
        *podman.RUN, "--detach", "--name", PREFIX + host, "--privileged", "--cgroupns", "private", "--systemd=always",
        "--hostname", host, "--network", network.NAME, "--ip", address,
        *(f"--add-host={name}:{ip}" for name, ip in addresses.items()),
        "--rootfs", DISKS / host, "/sbin/init",
    )  # fmt: skip


def _make_key() -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "qwen-onprem lab", "-f", KEY)
    GATEWAY.write_text(network.GATEWAY)


def _trust() -> None:
    """Read the hosts' keys over the container runtime, not over the network that they are to protect."""
    lines = []
    for host, address in inventory().items():
        key = _try_exec(host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        lines.append(f"{address} {' '.join(key.split()[:2])}\n")
    KNOWN_HOSTS.write_text("".join(lines))


def _try_exec(host: str, *argv: str, seconds: int = 60) -> str:
    deadline = time.monotonic() + seconds
    while (done := attempt("podman", "exec", PREFIX + host, *argv)).returncode:
        if time.monotonic() > deadline:
            raise LabError(
                f"`{' '.join(argv)}` on {host}: {done.stderr.strip()[-300:]}",
                f"success within {seconds} s",
                f"look at `podman logs {PREFIX}{host}`",
            )
        time.sleep(0.5)
    return done.stdout
