"""The rack's second kind of host: a virtual machine with a kernel and NVMe drives of its own.

It shows what a container cannot: RAID, forbidden modules, hugepages, a real reboot. It is slow, because QEMU emulates
the processor. At a reboot QEMU ends and is started again with the kernel and the initramfs that are then on the disk,
as firmware and boot loader would do.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.hosts import drives, network, rack, rootfs
from lab.machine import bootstrap
from lab.paths import REPO, STATE
from lab.shell import attempt, output

PACKAGES = REPO / "lab/hosts/vm-packages.txt"
MACHINES = STATE / "vms"
DISK = "3G"  # a sparse file
MEMORY_MB = 1536
BOOT_S = 600  # 44 s on idle cores
NETWORK = """\
[Match]
Name=e*
[Network]
Address={address}
Gateway={gateway}
"""
# An initramfs for this machine alone, packed fast: its rebuilds are emulated too.
INITRAMFS = "MODULES=dep\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n"
# QEMU ends at a reboot (-no-reboot): take the initramfs that the guest may have rebuilt, and go on.
SUPERVISOR = """\
while debugfs -R 'dump /boot/{kernel} kernel' disk && debugfs -R 'dump /boot/{initramfs} initramfs' disk; do
  {qemu} $(cat {drives}) || exit
done
"""


def ensure(names: list[str]) -> dict[str, str]:
    """Boot the machines that are not up; returns their addresses."""
    bootstrap.packages(PACKAGES)
    for name in names:
        if not _alive(name):
            _install(name)
            _boot(name)
    rack.trust()
    for name in names:
        _await_ssh(name)
    return {name: _address(name) for name in names}


def remove_all() -> None:
    for folder in MACHINES.glob("*"):
        remove(folder.name)


def remove(name: str) -> None:
    """End a machine with its supervisor, and remove its disks, its key and its port on the bridge."""
    if _alive(name):
        group = int((MACHINES / name / "pid").read_text())
        os.killpg(group, signal.SIGKILL)
        while _alive(name):
            time.sleep(0.1)
    attempt("ip", "link", "delete", _tap(name))
    (rack.MACHINE_KEYS / name).unlink(missing_ok=True)
    shutil.rmtree(MACHINES / name, ignore_errors=True)


def _install(name: str) -> None:
    """Give a new machine its disks: the root file system with the site's key and an address of its own."""
    folder = MACHINES / name
    if folder.exists():
        return
    address = next(a for a in network.MACHINES if a not in _taken())
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tree = partial / "tree"
    tree.mkdir(parents=True)
    tar, _ = rootfs.build(rootfs.MACHINE)
    output("tar", "--extract", "--numeric-owner", "--xattrs", "--file", tar, "--directory", tree)
    for path, text in _own_files(name, address):
        (tree / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (tree / path).write_text(text)
    unit = "systemd-networkd.service"
    (tree / "etc/systemd/system/multi-user.target.wants" / unit).symlink_to(f"/lib/systemd/system/{unit}")
    rack.MACHINE_KEYS.mkdir(parents=True, exist_ok=True)
    key = (tree / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    (rack.MACHINE_KEYS / name).write_text(f"{address} {' '.join(key)}\n")
    (partial / "address").write_text(address)
    (partial / "supervise").write_text(_supervisor(name, tree / "boot"))
    drives.fill(partial)
    output("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", tree, partial / "disk", DISK)
    shutil.rmtree(tree)
    partial.rename(folder)


def _own_files(name: str, address: str) -> Iterator[tuple[str, str]]:
    yield "root/.ssh/authorized_keys", rack.public_key()
    yield "etc/hostname", f"{name}\n"
    yield "etc/hosts", f"127.0.0.1 localhost\n{address} {name}\n{network.MIRROR} {network.MIRROR_NAME}\n"
    yield "etc/fstab", "LABEL=root / ext4 defaults 0 1\n"
    on_bridge = f"{address}/{network.SUBNET.prefixlen}"
    yield "etc/systemd/network/rack.network", NETWORK.format(address=on_bridge, gateway=network.GATEWAY)
    yield "etc/initramfs-tools/conf.d/rack", INITRAMFS


def _supervisor(name: str, boot: Path) -> str:
    [kernel], [initramfs] = boot.glob("vmlinuz-*"), boot.glob("initrd.img-*")
    qemu = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
        *("-m", str(MEMORY_MB), "-display", "none", "-serial", "file:console", "-no-reboot"),
        *("-kernel", "kernel", "-initrd", "initramfs", "-append", "'root=LABEL=root rw console=ttyS0 quiet'"),
        *("-drive", "file=disk,format=raw,if=virtio,cache=unsafe"),
        *("-netdev", f"tap,id=rack,ifname={_tap(name)},script=no,downscript=no", "-device", "virtio-net,netdev=rack"),
        *("-device", "virtio-rng"),
    ]
    return SUPERVISOR.format(kernel=kernel.name, initramfs=initramfs.name, qemu=" ".join(qemu), drives=drives.OPTIONS)


def _boot(name: str) -> None:
    tap, folder = _tap(name), MACHINES / name
    if attempt("ip", "link", "show", tap).returncode:
        output("ip", "tuntap", "add", "dev", tap, "mode", "tap")
    output("ip", "link", "set", tap, "master", network.bridge_name(), "up")
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["sh", folder / "supervise"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "pid").write_text(str(process.pid))


def _await_ssh(name: str) -> None:
    ssh = (
        *("ssh", "-i", rack.KEY, "-o", f"UserKnownHostsFile={rack.KNOWN_HOSTS}", "-o", "BatchMode=yes"),
        *("-o", "ConnectTimeout=5", f"root@{_address(name)}"),
    )
    deadline = time.monotonic() + BOOT_S
    while (done := attempt(*ssh, "systemctl", "is-system-running", "--wait")).returncode == 255:
        if time.monotonic() > deadline or not _alive(name):
            raise LabError(
                f"no ssh to the virtual machine {name}: {done.stderr.strip()[-300:]}",
                f"an answer within {BOOT_S} s",
                f"look at {MACHINES / name}/console and log",
            )
        time.sleep(2)


def _alive(name: str) -> bool:
    """Whether the supervisor runs. A later process with the same number has another working folder."""
    with suppress(FileNotFoundError):
        pid = (MACHINES / name / "pid").read_text()
        return Path("/proc", pid, "cwd").readlink() == MACHINES / name
    return False


def _address(name: str) -> str:
    return (MACHINES / name / "address").read_text()


def _taken() -> set[str]:
    return {file.read_text() for file in MACHINES.glob("*/address")}


def _tap(name: str) -> str:
    """Name of the machine's port on the bridge; the kernel takes 15 characters."""
    return f"rack-{name}"[:15]
