"""The machine check says everything that is missing at once, and what to do about it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lab import machine
from lab.errors import LabError


@pytest.fixture(autouse=True)
def fit_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that passes; each test takes one thing away."""
    for check in ("_root", "system", "_cores", "_memory", "_disk", "_go"):
        monkeypatch.setattr(machine, check, lambda: None)
    monkeypatch.setattr(machine, "PORTS", {})


def test_a_fit_machine_passes() -> None:
    assert "cores" in machine.check(lab_is_up=False)


def test_every_shortfall_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_memory", lambda: ("4 GiB of memory", "20 GiB", "more memory"))
    monkeypatch.setattr(machine, "_root", lambda: ("user id 1000", "root", "sudo"))
    with pytest.raises(LabError) as refused:
        machine.check(lab_is_up=False)
    assert "4 GiB of memory" in str(refused.value)
    assert "user id 1000" in str(refused.value)
    assert "sudo; more memory" in refused.value.remedy


def test_a_user_without_root_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine._root() == ("user id 1000", "root: hosts are privileged containers", "run `sudo make up`")


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    release = tmp_path / "os-release"
    release.write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    fault = machine.system(release)
    assert fault is not None
    assert "ubuntu 24.04" in fault[0]
    release.write_text('ID=debian\nVERSION_ID="12"\n')
    assert machine.system(release) is None


def test_too_little_disk_names_the_folder_and_both_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(machine, "CACHE", tmp_path)
    monkeypatch.setattr(machine, "FILLED", tmp_path / "filled")
    monkeypatch.setattr(machine, "free_gb", lambda: 3.0)
    fault = machine._disk()
    assert fault is not None
    assert str(tmp_path) in fault[0]
    assert "3 GB" in fault[0]
    assert f"{machine.DISK_COLD_GB} GB" in fault[1]


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(machine, "memory_gib", lambda: 8.0)
    assert machine._memory() == ("8.0 GiB of memory", f"{machine.MEMORY_GIB} GiB", "give the machine more memory")


def test_a_port_in_use_is_named_with_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setattr(machine, "PORTS", {port: "gateway"})
        with pytest.raises(LabError, match=rf"127.0.0.1:{port} is in use by .* \(process {os.getpid()}\)"):
            machine.check(lab_is_up=False)
        assert machine.check(lab_is_up=True), "the lab's own ports are no fault"
    assert machine.check(lab_is_up=False)
