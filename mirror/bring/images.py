"""Carried images into the site's registry, by skopeo, as the user who is logged in there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mirror.carry.image_layout import BLOBS, layout_of
from mirror.item import Item
from mirror.tools import programs

COPY = ("skopeo", "copy", "--quiet", "--preserve-digests", "--retry-times=3")


def push(folder: Path, items: Sequence[Item], authority: Path | None) -> list[str]:
    """Push the folder's images, of which the registry takes what it lacks. Returns their names. Raises ToolError."""
    images = folder / "images"
    carried = [item for item in items if item.is_copied and (layout_of(images, item)[0] / "index.json").is_file()]
    if not carried:
        return []
    with tempfile.TemporaryDirectory() as certificates:
        if authority:
            shutil.copyfile(authority, Path(certificates) / "ca.crt")
        for item in carried:
            layout, tag = layout_of(images, item)
            options = [f"--src-shared-blob-dir={images / BLOBS}", f"--dest-cert-dir={certificates}"]
            programs.run([*COPY, *options, f"oci:{layout}:{tag}", f"docker://{item.at}"], f"image {item.at}")
    return [item.at for item in carried]
