"""Tools that are taken from PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.tools import builder


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def put(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("says", ["1.2.3", "v1.2.3", "tool version v1.2.3 linux", "CoreDNS-1.2.3"])
def test_a_tool_of_the_pinned_version_on_path_is_used(path: Path, says: str) -> None:
    put(path, "tool", says)
    assert builder._on_path(builder.Module("x", ("tool",), pin="1.2.3", on_path=True)) == {"tool": path / "tool"}


@pytest.mark.parametrize("says", ["1.2.4", "v1.2.30", ""])
def test_a_tool_of_another_version_is_not(path: Path, says: str) -> None:
    put(path, "tool", says)
    assert builder._on_path(builder.Module("x", ("tool",), pin="1.2.3", on_path=True)) == {}


def test_all_binaries_of_a_module_must_be_of_the_pinned_version(path: Path) -> None:
    module = builder.Module("x", ("one", "two"), pin="1.2.3", on_path=True)
    put(path, "one", "1.2.3")
    assert builder._on_path(module) == {}
    put(path, "two", "1.2.2")
    assert builder._on_path(module) == {}
    put(path, "two", "1.2.3")
    assert set(builder._on_path(module)) == {"one", "two"}
