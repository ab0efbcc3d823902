"""Upstreams of the lab: Debian's archive as this machine reaches it, and stand-ins for the others.

Those of images are in upstream_images.py. The stand-in of packages, for Kubernetes' and NVIDIA's repositories, holds
several versions of a package: a site must be able to return to the previous one.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from lab import deb, versions
from lab.gpu import nvidia_debs
from lab.hosts import rootfs
from lab.kubernetes import kubernetes_debs
from lab.machine import ports
from lab.mirror import keys, stand_in_tools
from lab.paths import CACHE, LAB
from lab.shell import output
from mirror.upstream import Upstream

STAND_IN = "stand-in"
DEBIAN = "debian-12"
# Of the rows of mirror/upstream.yml whose packages the stand-in has.
REPLACED = ("kubernetes", "nvidia-container-toolkit", "cuda-debian12")
FOLDER = CACHE / "mirror/stand-in"
REGISTRY = f"127.0.0.1:{ports.UPSTREAM}"
"""Stands in for every project's registry: it has their images below the names of these registries."""
KEY_USER = "qwen-onprem lab upstream"
CODE = (__file__, deb.__file__, kubernetes_debs.__file__)


def table(addresses: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Write the table that this site fills its mirror from.

    `addresses`: of suites as this machine has them, which a list does not need and a download does.
    """
    rows: dict[str, Any] = dict(Upstream(versions.written()).table)
    apt: dict[str, Any] = rows["apt"]
    stand_in = {
        "url": f"file:{FOLDER}",
        "suites": [rootfs.SUITE],
        "components": ["main"],
        "key": str(FOLDER / "key.asc"),
        "fingerprint": keys.fingerprint(KEY_USER),
        "packages": [pattern for name in REPLACED for pattern in apt[name]["packages"]],
    }
    others = {
        name: {**row, "url": addresses.get(row["suites"][0], row["url"])}
        for name, row in apt.items()
        if name not in REPLACED
    }
    images = {
        section: {name: f"{REGISTRY}/{source}" for name, source in sources.items()}
        for section, sources in rows["images"].items()
    }
    LAB.mkdir(exist_ok=True)
    file = LAB / "upstream.yml"
    rows["tools"] = stand_in_tools.sources()
    file.write_text(yaml.safe_dump({**rows, "images": images, "apt": {STAND_IN: stand_in, **others}}, sort_keys=False))
    return file


def addresses() -> dict[str, str]:
    """Address of each suite that this machine installs from; empty where it has no lists yet."""
    chosen = ("--format", "$(RELEASE) $(SITE)", "Created-By: Packages", "Origin: Debian")
    return dict(line.split() for line in output("apt-get", "indextargets", *chosen).splitlines())


def proxy() -> dict[str, str]:
    """The proxy that apt of this machine uses, as a variable of the environment."""
    setting = shlex.split(output("apt-config", "shell", "PROXY", "Acquire::http::Proxy"))
    return {"http_proxy": setting[0].partition("=")[2]} if setting else {}


def sources() -> list[Path]:
    """Files that the stand-in's packages are made of."""
    return [*kubernetes_debs.sources(), *nvidia_debs.sources(), *map(Path, CODE)]


def make_stand_in() -> None:
    """Make the stand-in's packages and its signed lists, in place of earlier ones."""
    output("rm", "-rf", FOLDER)
    pool = FOLDER / "pool"
    pool.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        kubernetes_debs.build(Path(scratch) / "kubernetes", pool)
        nvidia_debs.build(Path(scratch) / "nvidia", pool)
    _index(FOLDER)


def _index(folder: Path) -> None:
    """Write the signed lists of all packages in pool/, and the public key."""
    release = folder / "dists" / rootfs.SUITE
    lists = release / "main/binary-amd64"
    lists.mkdir(parents=True)
    (lists / "Packages").write_text(output("apt-ftparchive", "packages", "pool", cwd=folder) + "\n")
    facts = {"Origin": "stand-in", "Suite": rootfs.SUITE, "Codename": rootfs.SUITE}
    facts |= {"Architectures": "amd64", "Components": "main"}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in facts.items()]
    (release / "Release").write_text(output("apt-ftparchive", *options, "release", release) + "\n")
    keys.clearsign(KEY_USER, release / "Release", release / "InRelease")
    keys.export(KEY_USER, folder / "key.asc")
