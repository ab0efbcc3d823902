"""One SPDX document for each image of a site: the packages in it, for whoever asks which images a fault is in."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mirror.check import images
from mirror.item import Item
from mirror.needs import spdx
from mirror.site import Site

from . import image


def write(site: Site, items: Sequence[Item], folder: Path) -> list[Path]:
    """Write the documents into a folder, each one whole or not at all; returns the files. Raises ToolError.

    An image without packages, such as one program alone, has a document with an empty list.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with tempfile.TemporaryDirectory() as scratch:
        options = list(images.trust(Path(scratch), images.login(site), site.authority, items, side="src-"))
        for number, item in enumerate(items, 1):
            print(f"  image {number} of {len(items)}: {item.at}", file=sys.stderr, flush=True)
            asked = images.reference(item)
            found = image.packages(f"docker://{asked}", options, item.at)
            file = folder / (item.name.replace("/", "_").replace(":", "_") + ".spdx.json")
            partial = file.with_name(f".{file.name}.partial")
            partial.write_text(spdx.document(found, asked))
            partial.replace(file)
            written.append(file)
            print(f"  {len(found)} packages", file=sys.stderr, flush=True)
    return written
