"""The simulated bare-metal hosts: each is a systemd container without any software, reachable by ssh.

The rack consists of the hosts of inventory/local. Scratch hosts come and go beside them, to try a single role on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping

from lab.errors import LabError
from lab.gpu import slots
from lab.hosts import inventory, network, podman, rootfs
from lab.machine import kernel
from lab.paths import LAB, STATE
from lab.shell import attempt, output

PREFIX = "qwen-lab-"
KEY = LAB / "ssh/id_ed25519"
KNOWN_HOSTS = LAB / "ssh/known_hosts"
MACHINE_KEYS = LAB / "ssh/machines"  # host keys of virtual machines, a file each
DISKS = STATE / "hosts"
CTR = ("ctr", "--namespace", "k8s.io", "images")
ADDRESS = "qwen-onprem.address"


def ensure() -> str | None:
    """Boot every host of the rack that is not up and reachable by ssh; None when all were."""
    started = _boot_all(inventory.hosts(), with_gpus=dict.fromkeys(inventory.hosts("gpu"), "h100"))
    return f"started {', '.join(started)}" if started else None


def forget_images(repositories: Collection[str]) -> None:
    """Remove rebuilt images from hosts, which then fetch them: a kubelet does not look up a tag that its host has."""
    for container in _addresses() if repositories else ():
        held = attempt("podman", "exec", container, *CTR, "list", "--quiet").stdout.split()
        rebuilt = [image for image in held if image.rpartition(":")[0].partition("@")[0] in repositories]
        if rebuilt:
            output("podman", "exec", container, *CTR, "rm", *rebuilt)


def ensure_scratch(names: list[str], with_gpus: Mapping[str, str]) -> dict[str, str]:
    """Boot scratch hosts, some with GPUs of a model; returns their addresses."""
    # A host that lost its power keeps its address, by which its cluster knows it. One that never ran gets another.
    labels = {name: c["Labels"] for name, c in podman.containers().items() if c["State"] != "created"}
    taken = {name.removeprefix(PREFIX): label[ADDRESS] for name, label in labels.items() if label.get(ADDRESS)}
    free = (address for address in network.SCRATCH_HOSTS if address not in taken.values())
    wanted = {name: taken.get(name) or next(free) for name in names}
    _boot_all(wanted, with_gpus)
    return wanted


def remove_scratch(names: list[str]) -> None:
    for name in names:
        if name in inventory.hosts():
            raise LabError(f"{name} is a host of the rack", "a scratch host", "`make down` removes the rack")
        if PREFIX + name in podman.containers():
            podman.remove(PREFIX + name)
        shutil.rmtree(DISKS / name, ignore_errors=True)


def _boot_all(wanted: dict[str, str], with_gpus: Mapping[str, str]) -> list[str]:
    """Boot those that are not up; returns their names."""
    absent = {host: address for host, address in wanted.items() if not podman.alive(PREFIX + host)}
    if absent:
        kernel.let_many_watch_files()
    for host, address in absent.items():
        _install(host, with_gpus.get(host))
        _boot(host, address, card(has_gpus=host in with_gpus), peers=wanted)
    if absent:
        trust()
    for host in wanted:
        _try_exec(host, "systemctl", "is-active", "ssh.service", "route.service")
    return list(absent)


def _install(host: str, gpu_model: str | None) -> None:
    """Give a new host its disk. A host that was interrupted keeps the one it had."""
    disk = DISKS / host
    if disk.exists():
        return
    tar, _ = rootfs.build(rootfs.HOST)
    partial = disk.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    output("tar", "--extract", "--numeric-owner", "--xattrs", "--file", tar, "--directory", partial)
    for target, text in (("root/.ssh/authorized_keys", public_key()), ("etc/rack-gateway", network.GATEWAY)):
        (partial / target).parent.mkdir(mode=0o700, exist_ok=True)
        (partial / target).write_text(text)
    if gpu_model:
        slots.install(partial, gpu_model)
    partial.rename(disk)


def card(*, has_gpus: bool) -> str:
    """Name of a host's network card: a site's servers and GPU hosts rarely have the same one."""
    return "ens1f0np0" if has_gpus else "eno1"


def _boot(host: str, address: str, card: str, peers: dict[str, str]) -> None:
    # Starting a container again removes the cgroups of the others. So a host boots as a new container from the disk
    # that it had: a plain folder of the machine's file system, on which containerd can make overlays.
    if PREFIX + host in podman.containers():
        podman.remove(PREFIX + host)
    addresses = {network.MIRROR_NAME: network.MIRROR, **peers}
    output(
        *podman.RUN, *podman.SYSTEMD, "--detach", "--name", PREFIX + host, "--hostname", host,
        *network.at(address, card), "--label", f"{ADDRESS}={address}",
        *(f"--add-host={name}:{ip}" for name, ip in addresses.items()),
        "--rootfs", DISKS / host, *podman.INIT,
    )  # fmt: skip


def public_key() -> str:
    """The public key that every host accepts; it is made for the first of them."""
    KEY.parent.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "qwen-onprem lab", "-f", KEY)
    return KEY.with_suffix(".pub").read_text()


def reach(name: str, address: str) -> dict[str, str | int]:
    """Facts with which molecule reaches a host."""
    return {"instance": name, "address": address, "port": 22, "user": "root", "identity_file": str(KEY)}


def _addresses() -> dict[str, str]:
    """Addresses of all hosts that are up, by container."""
    return {
        name: container["Labels"][ADDRESS]
        for name, container in podman.containers().items()
        if ADDRESS in container["Labels"] and podman.alive(name)
    }


def trust() -> None:
    """Write known_hosts: keys are read through the container runtime, not through the network that they protect."""
    lines = []
    for container, address in _addresses().items():
        key = _try_exec(container.removeprefix(PREFIX), "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        lines.append(f"{address} {' '.join(key.split()[:2])}\n")
    lines += [file.read_text() for file in MACHINE_KEYS.glob("*")]
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
