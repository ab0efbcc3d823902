"""The places of images in a carried folder: one OCI layout for each repository, which share their layers."""

from __future__ import annotations

from pathlib import Path

from mirror.item import Item

BLOBS = "blobs"
NAME = "org.opencontainers.image.ref.name"
"""The annotation with an image's name, in the list of a layout."""


def layout_of(folder: Path, item: Item) -> tuple[Path, str]:
    """Folder of an image's layout, and the image's name in it."""
    repository, tag = item.name.rsplit(":", 1)
    return folder / repository, tag
