"""Signed folders, as a site is carried them: Debian's packages, those of the stand-in, wheels and images.

Debian's packages and wheels can be fetched while the stand-in's programs are still being built.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import store, versions
from lab.hosts import rootfs
from lab.mirror import client, image_builds, keys, product, upstream, upstream_images
from lab.paths import CONTROLLER_ENV, REPO
from lab.progress import APT_DOWNLOAD, Parts
from lab.shell import logged
from mirror import fill
from mirror.carry.image_layout import BLOBS

FOLDER = "bundle"
KEY_USER = "qwen-onprem lab mirror"
LOCK = REPO / "locks/runtime-cpu.txt"
LOCKS = (LOCK, *(REPO / f"locks/{name}.txt" for name in ("uv", "runtime-source", "dashboards")))
"""Locks of the images' wheels, all of which `qwen-mirror list` names for this site."""
FILLING = sorted(Path(fill.__file__).parent.glob("*.py"))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signed folder: its name in the cache, the key of what it is made from, and who fills it."""

    name: str
    made_from: str
    fill: Callable[[Path], None]

    def obtain(self) -> Path:
        """The folder as it is carried."""
        folder, _ = store.obtain(f"mirror/bundles/{self.name}", self.made_from, self._make)
        return folder / FOLDER

    def _make(self, into: Path) -> None:
        self.fill(into / FOLDER)
        private, _ = keys.of_bundles()
        product.sign(into / FOLDER, private)


def debian(base_tar: Path) -> Bundle:
    """Debian's packages that hosts and images install, with what the base image lacks of their dependencies."""
    names = sorted(item["name"] for item in json.loads(product.listed("--kind=apt", f"--from={upstream.DEBIAN}")))

    def make(folder: Path) -> None:
        logged("mirror", "apt-get", "update", "-q")
        with tempfile.TemporaryDirectory() as scratch:
            _fill(folder, status(base_tar, Path(scratch)), upstream.DEBIAN)

    return Bundle("debian", store.key(base_tar.with_name(store.SUMS), *names), make)


def stand_in(base_tar: Path) -> Bundle:
    """Kubernetes' and NVIDIA's packages, of every row of NVIDIA's table."""
    made_from = store.key(
        *(base_tar.with_name(store.SUMS), *upstream.sources(), *FILLING, versions.FILE),
    )

    def make(folder: Path) -> None:
        upstream.make_stand_in()
        with tempfile.TemporaryDirectory() as scratch:
            database = status(base_tar, Path(scratch))
            for row in versions.versions()["nvidia"]["stacks"]:
                settings = Path(scratch) / "row.yml"
                settings.write_text(yaml.safe_dump({"site_nvidia_stack": row}))
                _fill(folder, database, upstream.STAND_IN, f"--extra-vars={settings}")
        shutil.rmtree(upstream.FOLDER)

    return Bundle("stand-in", made_from, make)


def wheels() -> Bundle:
    """Locked wheels of the images, and the one that is built of its source."""

    def make(folder: Path) -> None:
        fetched = Parts(r"^\s*Collecting (\S+)", sum(lock.read_text().count("==") for lock in LOCKS))
        programs = {"PATH": f"{CONTROLLER_ENV}/bin:{os.environ['PATH']}"}
        product.fill(folder, "--kind=wheel", progress=fetched, env=programs)

    return Bundle("wheels", store.key(*LOCKS), make)


def images() -> Bundle:
    """Images of other projects that the lab's site needs."""

    def make(folder: Path) -> None:
        with upstream_images.served(upstream_images.CATALOGUES):
            _fill_images(folder)

    base_tar, _ = rootfs.build(rootfs.BASE)
    parts = (base_tar.with_name(store.SUMS), *upstream_images.made_from(upstream_images.CATALOGUES), *FILLING)
    return Bundle("images", store.key(*parts, Path(upstream_images.__file__)), make)


def more_images(name: str, catalogue: str, settings: Mapping[str, Any]) -> Bundle:
    """The same folder filled again, as for an update: for a stack with other settings, which needs more images.

    `catalogue`: of these images. `settings`: of the stack by the names of its file.
    """
    before = images()

    def make(folder: Path) -> None:
        shutil.copytree(before.obtain() / "images", folder / "images", copy_function=_linked)
        stack = yaml.safe_load((REPO / "pulumi/Pulumi.local.yaml").read_text())
        stack["config"] |= settings
        with upstream_images.served([*upstream_images.CATALOGUES, catalogue]), tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "Pulumi.local.yaml"
            file.write_text(yaml.safe_dump(stack))
            _fill_images(folder, f"--stack={file}")

    parts = (before.made_from, *upstream_images.made_from([catalogue]), json.dumps(settings))
    return Bundle(name, store.key(*parts), make)


def _linked(source: str, target: str) -> None:
    """Link a layer, which nothing changes; copy the small files that name the layers."""
    (os.link if f"/{BLOBS}/" in source else shutil.copy)(source, target)


def _fill_images(folder: Path, *options: str) -> None:
    progress = Parts(image_builds.BEGUN, image_builds.TOTAL)
    product.fill(folder, "--kind=image", *options, progress=progress, env=upstream_images.environment())


def bring(carried: Sequence[Bundle], kind: str, into: Path) -> None:
    """Import what is carried of a kind into an empty folder, as a site does on its mirror."""
    for bundle in carried:
        product.bring(bundle.obtain(), f"--kind={kind}", *receiving(into), env=keys.ENVIRONMENT)
    keys.end_agent()


def bring_images(carried: Bundle) -> None:
    """Import what is carried into the site's registry, which takes what it lacks."""
    with tempfile.TemporaryDirectory() as unused:
        options = receiving(Path(unused))
        product.bring(carried.obtain(), "--kind=image", *options, env={**keys.ENVIRONMENT, **client.environment()})


def receiving(into: Path) -> list[str]:
    """Options of an import: the key that signed the folder, where files go, and the key that signs packages there."""
    _, public = keys.of_bundles()
    return [f"--key={public}", f"--to={into}", f"--apt-key={keys.fingerprint(KEY_USER)}"]


def _fill(folder: Path, database: Path, origin: str, *options: str) -> None:
    product.fill(
        folder, "--kind=apt", f"--from={origin}", f"--status={rootfs.SUITE}={database}", *options,
        progress=APT_DOWNLOAD, env=upstream.proxy(),
    )  # fmt: skip


def status(base_tar: Path, into: Path) -> Path:
    """The package database of the base image, against which dependencies are resolved."""
    file = into / "status"
    with tarfile.open(base_tar) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None, "a mmdebstrap tar holds dpkg's database"
        file.write_bytes(member.read())
    return file
