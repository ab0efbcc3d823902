"""The serving environment is installed once. When only this project's wheels change, only they are replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.commands import serving
from lab.mirror import wheels


def test_only_what_has_changed_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installs: list[str] = []
    folders = {name: tmp_path / f"{name}-1" for name in ("locked", "built")}

    def logged(log: str, *argv: object, **_: object) -> str:
        serving.ENVIRONMENT.mkdir(exist_ok=True)
        arguments = [str(argument) for argument in argv]
        if "install" in arguments:
            assert "--no-index" in arguments, "nothing is fetched"
            installs.append(arguments[arguments.index("--find-links") + 1])
        return ""

    monkeypatch.setattr(serving, "ENVIRONMENT", tmp_path / "serving")
    monkeypatch.setattr(serving, "logged", logged)
    monkeypatch.setattr(wheels, "locked", lambda: folders["locked"])
    monkeypatch.setattr(wheels, "built", lambda: folders["built"])
    assert serving.ensure()
    assert serving.ensure() is None
    folders["built"] = tmp_path / "built-2"
    assert serving.ensure()
    folders["locked"] = tmp_path / "locked-2"
    assert serving.ensure()
    assert [Path(folder).name for folder in installs] == ["locked-1", "built-1", "built-2", "locked-2", "built-2"]
