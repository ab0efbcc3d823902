"""A bare host is read without driver or package: PCI ids, drives, Secure Boot and who holds a port."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

import pytest

from .by_path import load

inspect_host = load("preflight/files/inspect_host.py")


def add_device(folder: Path, address: str, vendor: str, product: str, kind: str) -> None:
    device = folder / address
    device.mkdir(parents=True)
    for name, text in (("vendor", vendor), ("device", product), ("class", kind)):
        (device / name).write_text(f"{text}\n")


def test_nvidia_devices_are_known_by_their_ids_and_others_are_left_out(tmp_path: Path) -> None:
    add_device(tmp_path, "0000:1b:00.0", "0x10de", "0x2330", "0x030200")
    add_device(tmp_path, "0000:05:00.0", "0x10de", "0x22a3", "0x068000")
    add_device(tmp_path, "0000:00:1f.0", "0x8086", "0x1234", "0x060100")
    assert inspect_host.read_nvidia_devices(tmp_path) == [
        {"address": "0000:05:00.0", "id": "10de:22a3", "class": "0x068000"},
        {"address": "0000:1b:00.0", "id": "10de:2330", "class": "0x030200"},
    ]


def test_a_host_without_a_pci_bus_has_no_devices(tmp_path: Path) -> None:
    assert inspect_host.read_nvidia_devices(tmp_path / "absent") == []


def test_drives_are_counted_in_bytes_and_multipath_twins_once(tmp_path: Path) -> None:
    for name in ("nvme0n1", "nvme0c0n1", "sda"):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
        (tmp_path / "sys/block" / name / "size").write_text("7501476528\n")
    assert inspect_host.read_drives(tmp_path) == {"nvme0n1": 7501476528 * 512}


@pytest.mark.parametrize(("value", "enforced"), [(1, True), (0, False)])
def test_secure_boot_is_the_byte_after_the_attributes(tmp_path: Path, value: int, enforced: bool) -> None:
    variable = tmp_path / inspect_host.SECURE_BOOT
    variable.parent.mkdir(parents=True)
    variable.write_bytes(struct.pack("<IB", 6, value))
    assert inspect_host.read_secure_boot(tmp_path) is enforced


def test_a_host_without_efi_has_no_secure_boot(tmp_path: Path) -> None:
    assert inspect_host.read_secure_boot(tmp_path) is False


def test_the_holder_of_a_port_is_named_and_a_free_port_left_out() -> None:
    with socket.socket() as holder, socket.socket() as other:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        other.bind(("127.0.0.1", 0))
        held, free = str(holder.getsockname()[1]), str(other.getsockname()[1])
        own_name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
        assert inspect_host.read_port_holders(Path("/"), [held, free]) == {held: [own_name]}


def test_only_what_is_mounted_counts_as_mounted(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text("server:/backup /mnt/backup nfs4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\n")
    assert inspect_host.read_mounted(tmp_path, ["/mnt/backup", "/mnt/back"]) == ["/mnt/backup"]


def test_installed_packages_are_known_by_pattern_held_ones_too(tmp_path: Path) -> None:
    status = {"docker-ce": "install", "docker-ce-cli": "hold", "containerd": "install", "docker-ce-old": "deinstall"}
    state = {"deinstall": "config-files"}
    stanzas = [f"Package: {name}\nStatus: {want} ok {state.get(want, 'installed')}\n" for name, want in status.items()]
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text("\n".join(stanzas))
    assert inspect_host.read_packages(tmp_path, ["docker-*"]) == ["docker-ce", "docker-ce-cli"]


def test_the_clock_is_compared_with_the_controllers(tmp_path: Path) -> None:
    question = {
        "pci_devices_dir": str(tmp_path),
        "ports": [],
        "packages": [],
        "mounts": [],
        "filesystems": [],
        "controller_time_s": time.time() - 3600,
    }
    assert inspect_host.inspect(question)["clock_offset_s"] == pytest.approx(3600, abs=30)


def test_the_file_system_of_a_folder_that_is_not_there_yet_is_its_parents(tmp_path: Path) -> None:
    filesystem = os.statvfs(tmp_path)
    size_bytes = filesystem.f_blocks * filesystem.f_frsize
    assert inspect_host.read_filesystem_bytes(tmp_path / "var/lib/etcd") == size_bytes > 0
