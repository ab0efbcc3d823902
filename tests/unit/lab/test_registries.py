"""A registry that does not answer is named, with the setting that chooses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.machine import registries


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stubs of apt-get, pip and go that succeed; each test makes one of them fail."""
    for program in ("apt-get", "go", "python"):
        (tmp_path / program).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(registries.sys, "executable", str(tmp_path / "python"))
    return tmp_path


def test_nothing_is_said_when_all_answer() -> None:
    registries.check()


@pytest.mark.parametrize(
    ("program", "remedy"),
    [("apt-get", "/etc/apt"), ("python", "pip config list"), ("go", "go env GOPROXY")],
)
def test_a_silent_registry_is_named_with_its_setting(program: str, remedy: str, programs: Path) -> None:
    (programs / program).write_text("#!/bin/sh\necho 'could not connect' >&2\nexit 100\n")
    with pytest.raises(LabError, match="could not connect") as refused:
        registries.check()
    assert remedy in refused.value.remedy
    assert refused.value.found.count("did not answer") == 1


def test_all_silent_registries_are_named_at_once(programs: Path) -> None:
    for program in programs.iterdir():
        program.write_text("#!/bin/sh\necho 'could not connect' >&2\nexit 100\n")
    with pytest.raises(LabError) as refused:
        registries.check()
    assert refused.value.found.count("did not answer") == 3
