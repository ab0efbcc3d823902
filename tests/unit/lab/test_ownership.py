"""One lab on a machine: another clone's is named with the command that removes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.machine import ownership


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(ownership, "STATE", tmp_path)
    monkeypatch.setattr(ownership, "OWNER", tmp_path / "owner.json")
    return tmp_path


def test_the_own_lab_is_not_foreign() -> None:
    assert ownership.owner() is None
    ownership.claim()
    assert ownership.owner() == ownership.REPO
    assert ownership.foreign() is None
    ownership.release()
    assert ownership.owner() is None


def test_another_clones_lab_is_named_with_its_command(state: Path, tmp_path: Path) -> None:
    other = tmp_path / "clone"
    other.mkdir()
    (state / "owner.json").write_text(json.dumps({"clone": str(other)}))
    assert ownership.foreign() == other
    assert "`make down FORCE=1`" in str(ownership.refuse(other)), "a clone that is gone cannot be asked"
    (other / "Makefile").touch()
    assert f"`make -C {other} down`" in str(ownership.refuse(other))


def test_a_second_run_is_refused_while_one_is_running() -> None:
    with ownership.lock(), pytest.raises(LabError, match="one at a time"):
        ownership.lock()
    ownership.lock().close()


def test_only_ci_removes_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert not ownership.unattended()
    monkeypatch.setenv("CI", "true")
    assert ownership.unattended()
