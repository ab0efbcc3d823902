"""Tools that are taken from PATH, what comes with them, and those that are built on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.tools import builder
from lab.tools.go_modules import modules, on_request


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


def test_a_folder_that_comes_with_a_source_is_copied_whole_and_a_file_can_be_run(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "config/crd").mkdir(parents=True)
    (source / "config/crd/one.yaml").write_text("a")
    (source / "program").write_text("b")
    for name in ("config", "program"):
        builder._copy(source / name, tmp_path / name)
    assert (tmp_path / "config/crd/one.yaml").read_text() == "a"
    assert (tmp_path / "program").stat().st_mode & 0o111


def test_what_no_first_answer_needs_is_built_by_name_alone() -> None:
    asked, by_itself = ({module.name for module in found()} for found in (on_request, modules))
    assert asked == {"keda", "victoria-logs"}
    assert not asked & by_itself
