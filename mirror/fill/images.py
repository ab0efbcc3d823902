"""Images of other projects, by skopeo, as one OCI layout for each; they share their layers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirror.carry.image_layout import BLOBS, layout_of
from mirror.item import Item
from mirror.tools import programs
from mirror.tools.growth import Growth, size_of

COPY = (
    *("skopeo", "--override-os=linux", "--override-arch=amd64"),
    *("copy", "--quiet", "--preserve-digests", "--retry-times=3"),
)
HOSTS = {"os": "linux", "architecture": "amd64"}
UNFINISHED = "oci-put-blob"
"""Beginning of the names of layers that skopeo is still fetching."""
ASK = ("skopeo", "inspect", "--raw", "--retry-times=3")


def fetch(items: Sequence[Item], out: Path) -> None:
    """Put the images for these hosts into out/images. Raises ToolError, for an image that is gone before any comes."""
    folder = out / "images"
    blobs = folder / BLOBS
    blobs.mkdir(parents=True, exist_ok=True)
    copied = [item for item in items if item.is_copied]
    sizes: dict[str, int] = {}
    for item in copied:
        sizes |= _blobs(item.source)
    lacking = sum(size for digest, size in sizes.items() if not (blobs / digest.replace(":", "/")).exists())
    for stale in folder.rglob(f"{UNFINISHED}*"):
        stale.unlink()  # of a run that was killed
    with Growth("images", lacking, lambda: size_of(folder)) as progress:
        for number, item in enumerate(copied, 1):
            progress.say(f"  image {number} of {len(copied)}: {item.source}")
            layout, tag = layout_of(folder, item)
            layout.parent.mkdir(parents=True, exist_ok=True)
            argv = [*COPY, f"--dest-shared-blob-dir={blobs}", f"docker://{item.source}", f"oci:{layout}:{tag}"]
            programs.run(argv, f"image {item.source}", progress=progress)


def _blobs(source: str) -> dict[str, int]:
    """Sizes of an image's layers and configuration by digest; of an image for many machines, of these hosts' one."""
    manifest = _manifest(source)
    if "manifests" in manifest:
        platforms = {entry["digest"]: entry.get("platform", {}) for entry in manifest["manifests"]}
        own = [digest for digest, platform in platforms.items() if HOSTS.items() <= platform.items()]
        if not own:
            others = ", ".join("/".join(map(str, platform.values())) for platform in platforms.values())
            remedy = "Choose a version in versions.yml that has one."
            raise programs.ToolError(f"image {source} for {others}", "one for linux/amd64", remedy)
        manifest = _manifest(f"{source.rpartition(':')[0]}@{own[0]}")
    return {blob["digest"]: blob["size"] for blob in (*manifest["layers"], manifest["config"])}


def _manifest(source: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(programs.ask([*ASK, f"docker://{source}"], f"image {source}"))
    return manifest
