"""The registry that stands in for other projects' registries, and their images, which the lab builds.

It runs only while images are made and fetched. An image has the name that its project gives it, below the name of the
project's registry: mirror/upstream.yml has both.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from images.catalog import Image, load
from lab import store, versions
from lab.errors import LabError
from lab.hosts import rootfs
from lab.machine import ports
from lab.mirror import authority, blobs, image_builds
from lab.mirror.upstream import REGISTRY
from lab.paths import BIN, CACHE, LAB, LOGS, REPO
from lab.shell import output

CATALOGUES = ("lab/kubernetes/images.yml", "lab/gateway/images.yml", "lab/gpu/programs/images.yml")
FOLDER = CACHE / "mirror/upstream-registry"
LOG = LOGS / "upstream-registry.log"
START_S = 30


def environment() -> dict[str, str]:
    """Environment in which programs trust the registry."""
    return {"SSL_CERT_FILE": str(_signed() / "ca.crt")}


@contextmanager
def served(catalogues: Sequence[str]) -> Iterator[None]:
    """The registry while it runs, with the images of these catalogues. Raises LabError."""
    if ports.taken(ports.UPSTREAM):
        found = f"port {ports.UPSTREAM} taken{ports.holder(ports.UPSTREAM)}"
        raise LabError(found, "it free for the registry of other projects' images", "end that program")
    blobs.drop_damaged(FOLDER)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab") as log:
        process = subprocess.Popen([BIN / "registry", "serve", _configuration()], stdout=log, stderr=log)
        try:
            _wait(process)
            _push_base()
            names = [image.name for image in _images(catalogues)]
            options = [f"--catalog={path}" for path in ("images/catalog.yml", *catalogues)]
            image_builds.run(REGISTRY, *options, *names, reached_at=REGISTRY, env=environment())
            yield
        finally:
            process.terminate()
            process.wait()


def made_from(catalogues: Sequence[str]) -> list[str | Path]:
    """Parts of a key (store.py): all that decides about the content of the images."""
    images = _images(catalogues)
    programs = sorted({(BIN / name).resolve() for image in images for name in image.binaries})
    states = [f"{program} {program.stat().st_size} {program.stat().st_mtime_ns}" for program in programs]
    return [*(image.containerfile for image in images), *(REPO / path for path in catalogues), versions.FILE, *states]


def _images(catalogues: Sequence[str]) -> list[Image]:
    return [image for path in catalogues for image in load(REPO / path, versions.written())]


def _signed() -> Path:
    folder, _ = store.obtain(
        "upstream-authority", "loopback", lambda into: authority.sign(into, "upstream", "127.0.0.1")
    )
    return folder


def _configuration() -> Path:
    tls = {name: str(_signed() / f"server.{end}") for name, end in (("certificate", "crt"), ("key", "key"))}
    storage = {"filesystem": {"rootdirectory": str(FOLDER)}}
    file = LAB / "upstream-registry.yml"
    file.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": REGISTRY, "tls": tls}}))
    return file


def _wait(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not _answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError("the registry of other projects' images does not run", "it on loopback", f"read {LOG}")
        time.sleep(0.05)


def _answers() -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", ports.UPSTREAM)) == 0


def _push_base() -> None:
    """Push Debian's minimal system as its project publishes it, and under the name by which builds take it."""
    tar, _ = rootfs.build(rootfs.BASE)
    label = store.key(tar.with_name(store.SUMS))
    marker = FOLDER / "base-image"
    if marker.exists() and marker.read_text() == label:
        return
    base = versions.versions()["images"]["base"]
    container = output("buildah", "from", "scratch")
    try:
        output("buildah", "add", "--quiet", container, tar, "/")
        # With a fixed time the same files give the same digest, and no image on this base is built again.
        image = output("buildah", "commit", "--quiet", "--timestamp", "0", container)
        for name in (f"docker.io/library/{base}", base):
            pushed = ("buildah", "push", "--quiet", "--format", "oci", "--compression-format", "zstd")
            output(*pushed, image, f"docker://{REGISTRY}/{name}", env=environment())
        output("buildah", "rmi", image)
    finally:
        output("buildah", "rm", container)
    marker.write_text(label)
