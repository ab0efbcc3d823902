"""The lab's archives of pulumi have the names and the form of those that the project gives."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import versions
from lab.mirror import stand_in_tools

VERSIONS = versions.versions()["tools"]


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The archives, of programs that do nothing."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (*stand_in_tools.ENGINE, stand_in_tools.PROVIDER):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        (programs / name).symlink_to(tmp_path / name)
    monkeypatch.setattr(stand_in_tools, "BIN", programs)
    monkeypatch.setattr(stand_in_tools, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(versions, "LAB", tmp_path)
    stand_in_tools.make()
    return [Path(source.removeprefix("file://")) for source in stand_in_tools.sources()]


def test_archives_have_the_names_that_the_table_of_addresses_gives_with_the_labs_versions(archives: list[Path]) -> None:
    engine, provider = (archive.name for archive in archives)
    assert engine == f"pulumi-v{VERSIONS['pulumi']}-linux-x64.tar.gz"
    assert provider == f"pulumi-resource-kubernetes-v{VERSIONS['pulumi_kubernetes']}-linux-amd64.tar.gz"


def test_the_engine_lies_in_a_folder_with_its_host_for_python_and_a_provider_at_the_top(archives: list[Path]) -> None:
    members = []
    for archive in archives:
        with tarfile.open(archive) as tar:
            members.append({entry.name for entry in tar if entry.isreg() and entry.mode & 0o111})
    assert members == [{f"pulumi/{name}" for name in stand_in_tools.ENGINE}, {stand_in_tools.PROVIDER}]
