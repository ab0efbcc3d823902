"""The clients that tests try are installed once for each state of their locks, and never half."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.commands import clients
from lab.errors import LabError

FOLDERS = ("LIBRARIES", "AIDER", "AGENTS")


@pytest.fixture
def installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the programs that have been run; each leaves a file where it was told to install."""
    programs: list[str] = []

    def logged(_: str, *argv: str | Path, cwd: Path | None = None, **__: object) -> None:
        programs.append(Path(argv[0]).name)
        folder = cwd or Path(argv[-1])
        if "venv" in argv or cwd:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "installed").touch()

    for name in FOLDERS:
        monkeypatch.setattr(clients, name, tmp_path / name)
    monkeypatch.setattr(clients, "logged", logged)
    monkeypatch.setattr(clients.bootstrap, "uv", lambda: Path("uv"))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    return programs


def test_what_is_installed_is_not_installed_again(installs: list[str], tmp_path: Path) -> None:
    assert clients.ensure()
    assert all((tmp_path / name / "installed").exists() for name in FOLDERS)
    assert set(installs) == {"uv", "npm"}
    installs.clear()
    assert clients.ensure() is None
    assert not installs


def test_an_installation_that_fails_is_begun_anew(
    installs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(LabError, match="no npm on PATH"):
        clients.ensure()
    assert not (tmp_path / "AGENTS").exists()
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/npm")
    installs.clear()
    assert clients.ensure()
    assert installs == ["npm"]


def test_another_lock_gets_another_folder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("a==1")
    first = clients._folder("a", lock)
    lock.write_text("a==2")
    assert clients._folder("a", lock) != first
