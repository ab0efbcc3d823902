"""Images of other projects, by skopeo, as one OCI layout for each; they share their layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mirror.carry.image_layout import BLOBS, layout_of
from mirror.item import Item
from mirror.tools import programs

COPY = (
    *("skopeo", "--override-os=linux", "--override-arch=amd64"),
    *("copy", "--quiet", "--preserve-digests", "--retry-times=3"),
)


def fetch(items: Sequence[Item], out: Path) -> None:
    """Put the images for these hosts into out/images. Raises ToolError."""
    folder = out / "images"
    (folder / BLOBS).mkdir(parents=True, exist_ok=True)
    copied = [item for item in items if item.is_copied]
    for number, item in enumerate(copied, 1):
        print(f"  image {number} of {len(copied)}: {item.source}", file=sys.stderr, flush=True)
        layout, tag = layout_of(folder, item)
        layout.parent.mkdir(parents=True, exist_ok=True)
        shared = f"--dest-shared-blob-dir={folder / BLOBS}"
        programs.run([*COPY, shared, f"docker://{item.source}", f"oci:{layout}:{tag}"], f"image {item.source}")
