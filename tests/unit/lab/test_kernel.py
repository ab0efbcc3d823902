"""A lab changes settings of the machine's kernel, and restores them as they were before the first host."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.machine import kernel


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a machine's kernel before a lab."""
    for name in kernel.CHANGED:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("128\n")
    monkeypatch.setattr(kernel, "SETTINGS", tmp_path / "sys")
    monkeypatch.setattr(kernel, "REMEMBERED", tmp_path / "kernel.json")
    return tmp_path / "sys"


def read(settings: Path) -> list[str]:
    return [(settings / name).read_text().strip() for name in kernel.CHANGED]


def change(settings: Path) -> None:
    kernel.let_many_watch_files()
    (settings / "kernel/panic").write_text("10\n")


def test_what_was_changed_is_given_back(settings: Path) -> None:
    kernel.remember()
    change(settings)
    assert "1024" in read(settings)
    kernel.restore()
    assert read(settings) == ["128"] * len(kernel.CHANGED)


def test_hosts_that_boot_later_do_not_make_their_own_changes_the_machines(settings: Path) -> None:
    kernel.remember()
    change(settings)
    kernel.remember()
    kernel.restore()
    assert read(settings) == ["128"] * len(kernel.CHANGED)


def test_a_machine_that_had_no_host_keeps_what_it_has(settings: Path) -> None:
    change(settings)
    before = read(settings)
    kernel.restore()
    assert read(settings) == before
