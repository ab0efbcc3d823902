"""Images for the site registry: the bundle's own, Kubernetes' and the stand-ins for NVIDIA's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lab import versions
from lab.hosts import rack, rootfs
from lab.mirror import client, server, wheels
from lab.mirror.product import CATALOGUES
from lab.paths import BIN, CACHE, MIRROR_DATA, REPO
from lab.progress import Parts
from lab.shell import logged

WORK = CACHE / "images"
STATEMENTS = MIRROR_DATA / "provenance"
"""Statements of how images were built; they stay as long as the registry's images."""
IMAGES = Parts(r"^image \d+ of \d+: (\S+)", r"^image \d+ of (\d+)", {"runtime-base": 5, "runtime": 30})
# The stack names these by digest, and all others by the tags of their projects. The second name is the image's own.
REFERENCED = {"runtime": "runtime", "gateway": "envoy", "prometheus": "prometheus", "alertmanager": "alertmanager"}


def build() -> tuple[dict[str, str], list[str]]:
    """Build and push the images that the registry lacks; returns references by digest, and the names of those built."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    pushed_base = server.push_base(base_tar)
    images, built = _build(
        "--variant", "cpu", "--wheels", wheels.locked(), "--code", wheels.built(),
        *(f"--catalog={path}" for path in CATALOGUES),
    )  # fmt: skip
    references = {key: images[name] for key, name in REFERENCED.items()}
    return references, (["debian"] if pushed_base else []) + built


def build_of(catalogue: str) -> list[str]:
    """Build and push the images of a catalogue that the registry lacks; returns their names."""
    return _build(f"--catalog={catalogue}")[1]


def _build(*options: str | Path) -> tuple[dict[str, str], list[str]]:
    """Build and push what the registry lacks; returns all references by digest, and the names of those built."""
    text = logged(
        "images",
        sys.executable, "-m", "images.build", "--registry", client.REGISTRY, "--push-to", client.REGISTRY_ADDRESS,
        "--bin", BIN, "--versions", versions.written(), "--work", WORK, "--provenance", STATEMENTS, *options,
        cwd=REPO, env=client.environment(), progress=IMAGES,
    )  # fmt: skip
    report = json.loads(text.splitlines()[-1])
    images, built = report["images"], report["built"]
    rack.forget_images({images[name].partition("@")[0] for name in built})
    return images, built
