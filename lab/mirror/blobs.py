"""The blobs of a registry in its folder: layers, configurations and manifests, each below its digest."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import store

BLOBS = "docker/registry/v2/blobs/sha256"


def drop_damaged(registry: Path) -> None:
    """Empty a registry's folder when a blob differs from the digest in its name; images are then pushed again."""
    held = list((registry / BLOBS).glob("*/*/data"))
    with ThreadPoolExecutor(2) as pool:
        damaged = [
            blob for blob, digest in zip(held, pool.map(store.sha256, held), strict=True) if digest != blob.parent.name
        ]
    if damaged:
        print(
            f"      found:  {len(damaged)} damaged blob(s) in {registry}, as {damaged[0].parent.name[:16]}\n"
            "      needed: content that equals its digest\n      remedy: none, the images are pushed again",
            flush=True,
        )
        shutil.rmtree(registry)
