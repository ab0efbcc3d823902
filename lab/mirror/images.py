"""Images for the site registry: the bundle's own, Kubernetes' and the stand-ins for NVIDIA's."""

from __future__ import annotations

import json
import sys

from lab import versions
from lab.hosts import rack, rootfs
from lab.mirror import client, server, wheels
from lab.mirror.product import CATALOGUES
from lab.paths import BIN, CACHE, REPO
from lab.progress import Parts
from lab.shell import logged

WORK = CACHE / "images"
IMAGES = Parts(r"^image \d+ of \d+: (\S+)", r"^image \d+ of (\d+)", {"runtime-base": 5, "runtime": 30})
# The stack names these by digest, and all others by the tags of their projects. The second name is the image's own.
REFERENCED = {"runtime": "runtime", "gateway": "envoy", "prometheus": "prometheus", "alertmanager": "alertmanager"}


def build() -> tuple[dict[str, str], list[str]]:
    """Build and push the images that the registry lacks; returns references by digest, and the names of those built."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    pushed_base = server.push_base(base_tar)
    text = logged(
        "images",
        sys.executable, "-m", "images.build", "--registry", client.REGISTRY, "--push-to", client.REGISTRY_ADDRESS,
        "--variant", "cpu", "--bin", BIN, "--wheels", wheels.locked(), "--code", wheels.built(),
        "--versions", versions.written(), "--work", WORK,
        *(f"--catalog={path}" for path in CATALOGUES),
        cwd=REPO, env=client.environment(), progress=IMAGES,
    )  # fmt: skip
    report = json.loads(text.splitlines()[-1])
    references = {key: report["images"][name] for key, name in REFERENCED.items()}
    rack.forget_images({report["images"][name].partition("@")[0] for name in report["built"]})
    return references, (["debian"] if pushed_base else []) + report["built"]
