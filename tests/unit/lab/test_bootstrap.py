"""Commands that are started side by side on a new machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab.machine import bootstrap


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
