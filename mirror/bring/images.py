"""Carried images into the site's registry, by skopeo, as the user who is logged in there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.weights.progress import Progress, on_stderr

from mirror.carry import bundle, parts
from mirror.carry.bundle import File
from mirror.carry.image_layout import BLOBS, NAME, layout_of
from mirror.item import Item
from mirror.tools import programs
from mirror.tools.growth import Growth, read_by_children

COPY = ("skopeo", "copy", "--quiet", "--preserve-digests", "--retry-times=3")
REFUSALS = {
    "unauthorized": (
        "a registry that lets this user push there",
        "Make the project first where the registry has projects, and `skopeo login` as a user who may push there.",
    ),
    # A server that failed, as one does whose disk is full: skopeo does not repeat the reason.
    "unexpected HTTP status: 5": (
        "a registry that takes what is pushed",
        "Look at the registry's log and at its free disk; make room there, and run it again: it goes on.",
    ),
}
"""Need and remedy, by words of what skopeo says when a registry refuses a push."""
ASK = ("skopeo", "--command-timeout=60s", "inspect", "--no-tags", "--format={{.Digest}}")


def push(
    folder: Path, items: Sequence[Item], authority: Path | None, joined: Sequence[File], scratch: Path
) -> list[str]:
    """Push the folder's images, of which the registry takes what it lacks. Returns their names. Raises Error.

    `joined`: layers that are carried in parts, and that the registry lacks. `scratch`: a folder on a disk with room for
    them.
    """
    images = folder / "images"
    carried = _carried(folder, items)
    if not carried:
        return []
    with _certificates(authority) as certificates, _blobs(folder, joined, scratch) as blobs:
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
        for words, (needed, remedy) in REFUSALS.items():
            if words in refusal.found:
                raise programs.ToolError(refusal.found, needed, remedy) from refusal
        raise


def lacking(folder: Path, items: Sequence[Item], authority: Path | None, joined: Sequence[File]) -> list[File]:
    """Layers in parts that belong to images which the registry does not have as they are carried."""
    if not joined:
        return []
    blobs, needed = folder / "images" / BLOBS, set()
    with _certificates(authority) as certificates:
        for item in _carried(folder, items):
            digest, layers = _manifest(*layout_of(folder / "images", item), blobs)
            if _ask(item, certificates) != digest:
                needed |= {layer["digest"].partition(":")[2] for layer in layers}
    return [file for file in joined if Path(file.path).name in needed]


def _carried(folder: Path, items: Sequence[Item]) -> list[Item]:
    images = folder / "images"
    return [item for item in items if item.is_copied and (layout_of(images, item)[0] / "index.json").is_file()]


def _ask(item: Item, certificates: Path) -> str:
    """Digest of an image in the registry; empty where it is not there, or where nobody answers."""
    return programs.call([*ASK, f"--cert-dir={certificates}", f"docker://{item.at}"]).stdout.strip()


@contextmanager
def _certificates(authority: Path | None) -> Iterator[Path]:
    """A folder with the authority of the registry, as skopeo reads it."""
    with tempfile.TemporaryDirectory() as folder:
        if authority:
            shutil.copyfile(authority, Path(folder) / "ca.crt")
        yield Path(folder)


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
    return sum(layer["size"] for layer in _manifest(layout, tag, blobs)[1])


def _manifest(layout: Path, tag: str, blobs: Path) -> tuple[str, list[dict[str, Any]]]:
    """Digest of an image's manifest, and the manifest's layers; nothing where the site has the manifest already."""
    index = json.loads((layout / "index.json").read_text())
    named = [entry for entry in index["manifests"] if entry.get("annotations", {}).get(NAME) == tag]
    if not named:
        return "", []
    digest: str = named[0]["digest"]
    manifest = json.loads((blobs / digest.replace(":", "/")).read_text())
    return digest, manifest.get("layers", [])
