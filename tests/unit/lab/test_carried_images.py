"""The lab's registry takes carried images once, and hosts forget those that are other ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.hosts import rack
from lab.mirror import bundles, client, images
from lab.mirror.bundles import Bundle
from mirror.carry.image_layout import NAME


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the bundles that were imported."""
    names: list[str] = []
    monkeypatch.setattr(bundles, "bring_images", lambda bundle: names.append(bundle.name))
    monkeypatch.setattr(images, "CARRIED", tmp_path / "carried.json")
    return names


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Repositories of which the hosts removed their images, by import."""
    repositories: list[set[str]] = []
    monkeypatch.setattr(rack, "forget_images", repositories.append)
    return repositories


def carried(folder: Path, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A folder with these images: digests by repository and tag."""
    for name, digest in digests.items():
        repository, _, tag = name.rpartition(":")
        index = folder / "images" / repository / "index.json"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text(json.dumps({"manifests": [{"digest": digest, "annotations": {NAME: tag}}]}))
    bundle = Bundle(folder.name, "", lambda into: None)
    monkeypatch.setattr(Bundle, "obtain", lambda self: folder)
    return bundle


def test_what_the_registry_took_is_not_imported_again(
    imported: list[str], forgotten: list[set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = carried(
        tmp_path / "images", {"kubernetes/etcd:3.6": "sha256:1", "flannel/flannel:v1": "sha256:2"}, monkeypatch
    )
    assert sorted(images._carry(bundle)) == ["etcd", "flannel"]
    assert images._carry(bundle) == []
    assert imported == ["images"]
    assert forgotten == [{f"{client.REGISTRY}/kubernetes/etcd", f"{client.REGISTRY}/flannel/flannel"}]


def test_an_image_that_is_another_one_is_forgotten_by_hosts_and_no_other(
    imported: list[str], forgotten: list[set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images._carry(carried(tmp_path / "first", {"kubernetes/etcd:3.6": "sha256:1"}, monkeypatch))
    more = carried(tmp_path / "second", {"kubernetes/etcd:3.6": "sha256:1", "kedacore/keda:2": "sha256:3"}, monkeypatch)
    assert images._carry(more) == ["keda"]
    changed = carried(tmp_path / "third", {"kubernetes/etcd:3.6": "sha256:4"}, monkeypatch)
    assert images._carry(changed) == ["etcd"]
    assert imported == ["first", "second", "third"]
    assert forgotten[1:] == [{f"{client.REGISTRY}/kedacore/keda"}, {f"{client.REGISTRY}/kubernetes/etcd"}]
