"""Each model is on the disk exactly as the source's manifest says, and offered to neighbours where the site says so."""

from __future__ import annotations

import hashlib
import json

import pytest
from testinfra.host import Host

from ..inventory import Expected

FETCH = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=30).read().decode())"
TOOL = "/usr/local/bin/qwen-runtime"


@pytest.fixture(scope="module")
def folders(expected: Expected) -> dict[str, str]:
    return {model: f"{expected['weights_dir']}/{model}" for model in expected["weights_models"]}


def same_manifest(host: Host, url: str, folder: str) -> bool:
    """Whether the host gets from the URL the manifest that it has in the folder."""
    offered = host.run("python3 -c %s %s", FETCH, f"{url}/manifest.json").stdout
    return hashlib.sha256(offered.encode()).hexdigest() == host.file(f"{folder}/manifest.json").sha256sum


def test_the_manifest_is_the_sources(host: Host, expected: Expected, folders: dict[str, str]) -> None:
    for model, folder in folders.items():
        assert same_manifest(host, f"{expected['weights_sources'][0]}/{model}", folder)


def test_every_file_has_the_manifests_sum(host: Host, folders: dict[str, str]) -> None:
    for folder in folders.values():
        manifest = json.loads(host.file(f"{folder}/manifest.json").content_string)
        assert manifest["files"]
        for entry in manifest["files"]:
            assert host.file(f"{folder}/{entry['path']}").sha256sum == entry["sha256"], entry["path"]


def test_the_tool_on_the_host_verifies_them(host: Host, folders: dict[str, str]) -> None:
    for model, folder in folders.items():
        assert f"{folder}: {model} " in host.check_output("%s weights verify --full %s", TOOL, folder)


def test_files_are_roots_and_readable_by_all(host: Host, folders: dict[str, str]) -> None:
    for folder in folders.values():
        assert host.check_output("find %s ! -user root -o ! -perm -o=r", folder) == ""


def test_nothing_is_left_half_staged(host: Host, expected: Expected) -> None:
    assert host.check_output("find %s -maxdepth 1 -name '.*'", expected["weights_dir"]) == ""


def test_models_are_offered_to_neighbours_where_the_site_says_so(
    host: Host, expected: Expected, folders: dict[str, str]
) -> None:
    service, port = host.service("qwen-weights-share.service"), expected["weights_share_port"]
    assert service.is_running == (port > 0)
    if not port:
        return
    assert service.is_enabled
    for model, folder in folders.items():
        assert same_manifest(host, f"http://127.0.0.1:{port}/{model}", folder)


def test_the_digests_of_what_is_held_are_told(host: Host, expected: Expected, folders: dict[str, str]) -> None:
    if not expected["weights_metrics_dir"]:
        pytest.skip("nobody reads measurements here")
    told = host.file(f"{expected['weights_metrics_dir']}/weights.prom").content_string
    for model, folder in folders.items():
        digest = host.file(f"{folder}/manifest.json").sha256sum
        assert f'qwen_weights_info{{model="{model}",manifest="{digest}"}} 1\n' in told
