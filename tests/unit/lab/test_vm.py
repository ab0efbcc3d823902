"""A virtual machine comes back after its own reboot. Its end leaves no trace and harms no other process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.hosts import rack, vm

NAME = "vm1"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a machine that is installed; nothing touches the real bridge."""
    monkeypatch.setattr(vm, "MACHINES", tmp_path / "vms")
    monkeypatch.setattr(rack, "MACHINE_KEYS", tmp_path / "keys")
    monkeypatch.setattr(vm.network, "bridge_name", lambda: "bridge")
    monkeypatch.setattr(vm, "attempt", lambda *_: subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr(vm, "output", lambda *_: "")
    folder = tmp_path / "vms" / NAME
    folder.mkdir(parents=True)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / NAME).write_text("10.90.0.200 ssh-ed25519 AAAA\n")
    (folder / "supervise").write_text("while sleep 60; do :; done\n")
    return folder


# The machine outlives the program that starts it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_machine_is_ended_with_all_that_it_had(machine: Path) -> None:
    vm._boot(NAME)
    group = int((machine / "pid").read_text())
    assert vm._alive(NAME)
    vm.remove_all()
    assert not Path(f"/proc/{group}/cwd").exists()
    assert not machine.exists()
    assert not (rack.MACHINE_KEYS / NAME).exists()


def test_a_process_that_was_given_the_machines_number_since_is_left_alone(machine: Path) -> None:
    (machine / "pid").write_text(str(os.getpid()))
    assert not vm._alive(NAME)
    vm.remove(NAME)
    assert not machine.exists()


def test_a_machine_that_was_cut_off_is_known_to_be_down(machine: Path) -> None:
    (machine / "pid").write_text("4194305")  # beyond the kernel's largest number
    assert not vm._alive(NAME)


def test_a_reboot_starts_it_again_from_what_then_lies_on_its_disk(tmp_path: Path, monkeypatch: Any) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    for name in ("vmlinuz-6.1", "initrd.img-6.1"):
        (boot / name).touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    # A stub of QEMU that ends with success twice, as at a reboot, and fails at the third boot.
    (programs / "qemu-system-x86_64").write_text('#!/bin/sh\necho started >> log; [ "$(grep -c started log)" -lt 3 ]\n')
    (programs / "debugfs").write_text('#!/bin/sh\necho "$2" >> log\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", vm._supervisor(NAME, boot)], cwd=tmp_path, timeout=120, check=False)
    taken = ["dump /boot/vmlinuz-6.1 kernel", "dump /boot/initrd.img-6.1 initramfs", "started"]
    assert (tmp_path / "log").read_text().splitlines() == taken * 3
    assert done.returncode != 0


def test_the_names_of_ports_on_the_bridge_fit_the_kernel() -> None:
    assert len(vm._tap("a-machine-with-a-long-name")) <= 15
