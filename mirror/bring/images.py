"""Carried images into the site's registry, by skopeo, as the user who is logged in there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qwen_runtime.errors import UsageError
from qwen_runtime.weights.progress import Progress, on_stderr

from mirror.carry import bundle, parts
from mirror.carry.bundle import File
from mirror.carry.image_layout import BLOBS, NAME, layout_of
from mirror.item import Item
from mirror.tools import programs
from mirror.tools.growth import Growth, read_by_children

COPY = ("skopeo", "copy", "--quiet", "--preserve-digests", "--retry-times=3")


def push(
    folder: Path, items: Sequence[Item], authority: Path | None, joined: Sequence[File], scratch: Path
) -> list[str]:
    """Push the folder's images, of which the registry takes what it lacks. Returns their names. Raises Error.

    `joined`: layers that are carried in parts. `scratch`: a folder on a disk with room for them.
    """
    images = folder / "images"
    carried = [item for item in items if item.is_copied and (layout_of(images, item)[0] / "index.json").is_file()]
    if not carried:
        return []
    with tempfile.TemporaryDirectory() as certificates, _blobs(folder, joined, scratch) as blobs:
        if authority:
            shutil.copyfile(authority, Path(certificates) / "ca.crt")
        ended_bytes = 0
        sizes = [_size_bytes(*layout_of(images, item), blobs) for item in carried]
        with Growth("registry", sum(sizes), lambda: ended_bytes + read_by_children()) as progress:
            for item, size in zip(carried, sizes, strict=True):
                layout, tag = layout_of(images, item)
                options = [f"--src-shared-blob-dir={blobs}", f"--dest-cert-dir={certificates}"]
                argv = [*COPY, *options, f"oci:{layout}:{tag}", f"docker://{item.at}"]
                _copy(argv, item, progress)
                ended_bytes += size
    return [item.at for item in carried]


def _copy(argv: Sequence[str], item: Item, progress: Progress) -> None:
    try:
        programs.run(argv, f"image {item.at}", progress=progress)
    except programs.ToolError as refusal:
        if "unauthorized" not in refusal.found:
            raise
        remedy = (
            "Make the project first where the registry has projects, and `skopeo login` as a user who may push there."
        )
        raise programs.ToolError(refusal.found, "a registry that lets this user push there", remedy) from refusal


@contextmanager
def _blobs(folder: Path, joined: Sequence[File], scratch: Path) -> Iterator[Path]:
    """The folder of the images' blobs; where some are carried in parts, one of links with these put together."""
    carried = folder / "images" / BLOBS
    if not joined:
        yield carried
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".blobs") as made:
        whole = Path(made)
        for blob in carried.rglob("*"):
            if blob.is_file():
                link = whole / blob.relative_to(carried)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(blob.resolve())
        with on_stderr("layers in parts", sum(file.size for file in joined)) as progress:
            for file in joined:
                target = whole / Path(file.path).relative_to(f"images/{BLOBS}")
                arrived = parts.join(folder, file.pieces, target, progress)
                if arrived != file.sha256:
                    raise UsageError(f"{file.path} with sha256:{arrived}", f"sha256:{file.sha256}", bundle.AGAIN)
        yield whole


def _size_bytes(layout: Path, tag: str, blobs: Path) -> int:
    """Size of an image's layers, by its manifest."""
    index = json.loads((layout / "index.json").read_text())
    named = [entry for entry in index["manifests"] if entry.get("annotations", {}).get(NAME) == tag]
    manifest = json.loads((blobs / named[0]["digest"].replace(":", "/")).read_text()) if named else {}
    return sum(layer["size"] for layer in manifest.get("layers", []))
