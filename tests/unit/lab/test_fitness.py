"""The check of the machine names everything that is missing at once, with a remedy."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.machine import fitness, ports


@pytest.fixture(autouse=True)
def fit_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that passes; each test takes one thing away."""
    for check in ("_root", "system", "_cores", "_memory", "_disk", "_go"):
        monkeypatch.setattr(fitness, check, lambda: None)
    monkeypatch.setattr(ports, "USES", {})


def test_a_fit_machine_passes() -> None:
    assert "cores" in fitness.check(lab_is_up=False)


def test_every_shortfall_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "_memory", lambda: ("4 GiB of memory", "20 GiB", "more memory"))
    monkeypatch.setattr(fitness, "_root", lambda: ("user id 1000", "root", "sudo"))
    with pytest.raises(LabError) as refused:
        fitness.check(lab_is_up=False)
    assert "4 GiB of memory" in str(refused.value)
    assert "user id 1000" in str(refused.value)
    assert "sudo; more memory" in refused.value.remedy


def test_a_user_without_root_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert fitness._root() == ("user id 1000", "root: hosts are privileged containers", "run `sudo make up`")


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    release = tmp_path / "os-release"
    release.write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    fault = fitness.system(release)
    assert fault is not None
    assert "ubuntu 24.04" in fault[0]
    release.write_text('ID=debian\nVERSION_ID="12"\n')
    assert fitness.system(release) is None


def test_too_little_disk_names_the_folder_and_both_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(fitness, "CACHE", tmp_path)
    monkeypatch.setattr(fitness, "FILLED", tmp_path / "filled")
    monkeypatch.setattr(fitness, "free_gb", lambda: 3.0)
    fault = fitness._disk()
    assert fault is not None
    assert str(tmp_path) in fault[0]
    assert "3 GB" in fault[0]
    assert f"{fitness.DISK_COLD_GB} GB" in fault[1]


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(fitness, "memory_gib", lambda: 8.0)
    assert fitness._memory() == ("8.0 GiB of memory", f"{fitness.MEMORY_GIB} GiB", "give the machine more memory")


def test_a_port_in_use_is_named_with_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setattr(ports, "USES", {port: "gateway"})
        with pytest.raises(LabError, match=rf"127.0.0.1:{port} is in use by .* \(process {os.getpid()}\)"):
            fitness.check(lab_is_up=False)
        assert fitness.check(lab_is_up=True), "the lab's own ports are no fault"
    assert fitness.check(lab_is_up=False)
