"""The serving environment is installed once, and anew only when what it is made of has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import serving, wheels


def test_it_is_kept_until_its_wheels_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installs: list[str] = []
    folders = {"locked": tmp_path / "wheels-1", "built": tmp_path / "code-1"}

    def logged(log: str, *argv: object) -> str:
        serving.ENVIRONMENT.mkdir(exist_ok=True)
        installs.append(" ".join(map(str, argv)))
        return ""

    monkeypatch.setattr(serving, "ENVIRONMENT", tmp_path / "serving")
    monkeypatch.setattr(serving, "logged", logged)
    monkeypatch.setattr(wheels, "locked", lambda: folders["locked"])
    monkeypatch.setattr(wheels, "built", lambda: folders["built"])
    assert serving.ensure()
    assert all("--no-index" in install for install in installs if "install" in install), "nothing is fetched"
    assert serving.ensure() is None
    folders["built"] = tmp_path / "code-2"
    before = len(installs)
    assert serving.ensure()
    assert len(installs) == 2 * before
