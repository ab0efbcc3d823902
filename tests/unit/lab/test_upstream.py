"""The lab fills its mirror from the product's table, with what it cannot reach replaced by its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import versions
from lab.mirror import keys, upstream
from mirror.upstream import Repository, Upstream

HERE = {"bookworm": "http://archive.example/debian"}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    monkeypatch.setattr(upstream, "LAB", tmp_path)
    monkeypatch.setattr(versions, "LAB", tmp_path)
    monkeypatch.setattr(keys, "fingerprint", lambda user: "0" * 40)
    return Upstream(file=upstream.table(HERE))


@pytest.fixture
def repositories(table: Upstream) -> dict[str, Repository]:
    return {repository.name: repository for repository in table.repositories()}


@pytest.mark.parametrize("package", ["kubelet", "nvidia-container-toolkit", "libcuda1", "nvidia-kernel-open-dkms"])
def test_packages_that_cannot_be_reached_come_from_the_stand_in(
    repositories: dict[str, Repository], package: str
) -> None:
    owners = [name for name, repository in repositories.items() if repository.has(package, "Debian-12")]
    assert owners[0] == upstream.STAND_IN
    assert not set(upstream.REPLACED) & repositories.keys()


def test_debian_comes_from_where_this_machine_has_it(repositories: dict[str, Repository]) -> None:
    product = {repository.name: repository.url for repository in Upstream().repositories()}
    assert repositories["debian-12"].url == HERE["bookworm"]
    assert repositories["debian-12-security"].url == product["debian-12-security"]
    assert repositories["ubuntu-22.04"].url == product["ubuntu-22.04"]


def test_images_come_from_the_stand_in_under_the_names_that_their_projects_give(
    repositories: dict[str, Repository], tmp_path: Path
) -> None:
    product = Upstream(versions.written()).all_images()
    written = Upstream(file=tmp_path / "upstream.yml").all_images()
    assert written == {name: f"{upstream.REGISTRY}/{source}" for name, source in product.items()}


def test_archives_are_the_labs_own_under_the_names_that_a_site_knows_with_the_labs_versions(table: Upstream) -> None:
    product = Upstream(versions.written()).table["tools"]
    assert [Path(source).name for source in table.table["tools"]] == [Path(source).name for source in product]
    assert all(source.startswith("file:///") for source in table.table["tools"])
