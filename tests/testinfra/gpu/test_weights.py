"""Each model is on the disk exactly as the mirror's manifest says."""

from __future__ import annotations

import hashlib
import json

import pytest
from testinfra.host import Host

from ..inventory import Expected

FETCH = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=30).read().decode())"


@pytest.fixture(scope="module")
def folders(expected: Expected) -> dict[str, str]:
    return {model: f"{expected['weights_dir']}/{model}" for model in expected["weights_models"]}


def test_the_manifest_is_the_mirrors(host: Host, expected: Expected, folders: dict[str, str]) -> None:
    for model, folder in folders.items():
        offered = host.run("python3 -c %s %s", FETCH, f"{expected['weights_source_url']}/{model}/manifest.json").stdout
        assert host.file(f"{folder}/manifest.json").sha256sum == hashlib.sha256(offered.encode()).hexdigest()


def test_every_file_has_the_manifests_sum(host: Host, folders: dict[str, str]) -> None:
    for folder in folders.values():
        manifest = json.loads(host.file(f"{folder}/manifest.json").content_string)
        assert manifest["files"]
        for entry in manifest["files"]:
            assert host.file(f"{folder}/{entry['path']}").sha256sum == entry["sha256"], entry["path"]


def test_files_are_roots_and_readable_by_all(host: Host, folders: dict[str, str]) -> None:
    for folder in folders.values():
        assert host.check_output("find %s ! -user root -o ! -perm -o=r", folder) == ""


def test_nothing_is_left_half_staged(host: Host, expected: Expected) -> None:
    assert host.check_output("find %s -maxdepth 1 -name '.*'", expected["weights_dir"]) == ""
