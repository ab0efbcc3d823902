"""A mirror's record beside a list: what was asked for and is not listed is named, and so is what nobody asked for."""

from __future__ import annotations

import pytest

from mirror.item import Item
from tests.support import asked

LINE = '10.90.0.101 - - [01/Dec/2026:05:00:00 +0000] "{} {} HTTP/1.1" {} 612 "-" "-"\n'
LISTS = """\
Package: nvidia-driver
Version: 580.126.20-1
Depends: nvidia-alternative (>= 1), libcuda1 (= 580.126.20-1) | libcuda-any

Package: nvidia-alternative-580
Provides: nvidia-alternative (= 580), other-name
Pre-Depends: dpkg (>= 1.19)
"""
LISTED = [
    Item("apt", "bookworm", "nvidia-driver", "", "", version="580.126.20-1"),
    Item("apt", "bookworm", "conntrack", "", "", version="1:1.4.7-1+b2"),
    Item("apt", "bookworm", "ethtool", "", ""),
    Item("key", "", "the site's own", "", ""),
    Item("image", "", "kubernetes/pause:3.10", "", ""),
    Item("model", "", "smollm2", "", ""),
    Item("wheel", "locks/controller.txt, Python 3.11", "PyYAML", "", "", version="6.0.3"),
    Item("tool", "", "pulumi-v3.259.0-linux-x64.tar.gz", "", ""),
]
BEFORE = Item("apt", "bookworm", "nvidia-driver", "", "", version="535.216.01-1")
POOL = "/apt/pool/bookworm"
EXPECTED = [
    f"{POOL}/nvidia-driver_580.126.20-1_amd64.deb",
    f"{POOL}/conntrack_1.4.7-1%2bb2_amd64.deb",
    f"{POOL}/ethtool_6.1-1_amd64.deb",
    f"{POOL}/libcuda1_580.126.20-1_amd64.deb",
    f"{POOL}/nvidia-alternative-580_1_amd64.deb",
    f"{POOL}/dpkg_1.21_amd64.deb",
    "/apt/dists/bookworm/InRelease",
    "/v2/",
    "/v2/kubernetes/pause/manifests/3.10?ns=mirror",
    "/v2/kubernetes/pause/manifests/sha256:0123",
    "/v2/kubernetes/pause/blobs/sha256:0123",
    "/models/",
    "/models/smollm2/manifest.json",
    "/wheels/",
    "/wheels/pyyaml-6.0.3-cp311-cp311-manylinux_2_17_x86_64.whl",
    "/tools/pulumi-v3.259.0-linux-x64.tar.gz",
]


def record(*paths: str, method: str = "GET", status: str = "200") -> list[asked.Request]:
    return asked.requests("".join(LINE.format(method, path, status) for path in paths))


def unlisted(items: list[Item], requests: list[asked.Request]) -> list[str]:
    return asked.unlisted(items, requests, asked.needs(LISTS))


def test_what_is_listed_and_what_it_needs_is_not_named() -> None:
    assert len(record(*EXPECTED)) == len(EXPECTED)
    assert unlisted(LISTED, record(*EXPECTED)) == []


def test_the_version_before_an_upgrade_is_named_unless_it_is_listed_too() -> None:
    by_host = record(f"{POOL}/nvidia-driver_535.216.01-1_amd64.deb")
    assert unlisted(LISTED, by_host) == ["apt nvidia-driver=535.216.01-1"]
    assert unlisted([*LISTED, BEFORE], by_host) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{POOL}/sl_5.02-1_amd64.deb", "apt sl=5.02-1"),
        ("/v2/kubernetes/pause/manifests/3.9", "image kubernetes/pause:3.9"),
        ("/v2/kubernetes/etcd/manifests/sha256:0123", "image kubernetes/etcd"),
        ("/models/qwen/config.json", "model qwen"),
        ("/wheels/pyyaml-6.0.2-cp311-cp311-manylinux_2_17_x86_64.whl", "wheel pyyaml==6.0.2"),
        ("/tools/pulumi-v3.260.0-linux-x64.tar.gz", "tool pulumi-v3.260.0-linux-x64.tar.gz"),
        ("/other/", "/other/"),
        ("/v2/_catalog", "/v2/_catalog"),
    ],
)
def test_what_is_not_listed_is_named_whether_the_mirror_had_it_or_not(path: str, name: str) -> None:
    assert unlisted(LISTED, record(path, path)) == [name]
    assert unlisted(LISTED, record(path, method="HEAD", status="404")) == [name]


def test_a_host_that_writes_to_the_mirror_is_named() -> None:
    assert unlisted(LISTED, record("/v2/own/blobs/uploads/", method="POST")) == ["POST /v2/own/blobs/uploads/"]


def test_an_item_that_leaves_the_list_is_named_if_it_was_asked_for() -> None:
    for item in LISTED:
        if item.kind != "key":
            named = unlisted([other for other in LISTED if other != item], record(*EXPECTED))
            assert any(item.name.partition(":")[0].lower() in name for name in named), item


def test_what_nobody_asked_for_is_left_over() -> None:
    assert asked.surplus([*LISTED, BEFORE], record(*EXPECTED)) == [BEFORE]
    assert asked.surplus(LISTED, []) == [item for item in LISTED if item.kind in {"apt", "image", "model"}]
