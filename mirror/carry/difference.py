"""The part of a filled folder that a site does not have yet, as a folder of its own for a medium."""

from __future__ import annotations

import os
from pathlib import Path

from qwen_runtime.errors import UsageError
from qwen_runtime.weights import digest
from qwen_runtime.weights.progress import Progress, on_stderr

from mirror.tools import disk

from . import bundle, parts
from .bundle import Bundle, File

LARGEST_BYTES = 4_000_000_000
"""Largest file that is carried as one: FAT takes files below 4 GiB."""


def plan(folder: Path, since: Path | None) -> list[File]:
    """Files that the list of an earlier folder does not have, however it was carried; all files without such a list.

    Raises UsageError.
    """
    known = {file.content for file in bundle.read(since).files} if since else set()
    return [file for file in bundle.read(folder).files if file.content not in known]


def write(folder: Path, files: list[File], into: Path, largest_bytes: int = LARGEST_BYTES) -> Bundle:
    """Put these files into a folder with a list of their own: large ones in parts, others by links on the same disk.

    A further run goes on. Raises UsageError for a folder with other files, for a disk without room, and for a file that
    arrives as another one.
    """
    if cut := [file.path for file in files if file.parts]:
        raise UsageError(f"{cut[0]} in parts", "a folder as `qwen-mirror fill` leaves it", "Pack that one.")
    pieces = {file: list(parts.cut(file, largest_bytes)) for file in files}
    _refuse_others(into, {name for found in pieces.values() for name, _, _ in found})
    disk.refuse_full(into, _lacking_bytes(folder, pieces, into))
    bundle.forget(into)
    size_bytes = sum(file.size for file in files)
    with on_stderr("pack", size_bytes) as progress:
        for file, found in pieces.items():
            for name, begin, length in found:
                _put(folder / file.path, into / name, begin, length, progress)
    with on_stderr("read back", size_bytes) as progress:
        listed = digest.in_parallel(
            lambda file: parts.read_back(into, file, pieces[file], progress), files, 2 * digest.cores(), progress
        )
    for file, arrived in listed.items():
        if arrived.sha256 != file.sha256:
            _remove(into, [name for name, _, _ in pieces[file]])
            remedy = "Run it again; if it stays so, fill the folder anew or take another disk."
            raise UsageError(f"{file.path} with sha256:{arrived.sha256}", f"sha256:{file.sha256}", remedy)
    return bundle.save(into, bundle.read(folder).site, [listed[file] for file in files])


def _refuse_others(into: Path, expected: set[str]) -> None:
    others = sorted(bundle.paths(into) - expected) if into.exists() else []
    if others:
        raise UsageError(
            f"{into} has {others[0]}" + (f" and {len(others) - 1} more" if len(others) > 1 else ""),
            "an empty or a new folder, or one that an earlier run began",
            "Name another one by --to.",
        )


def _lacking_bytes(folder: Path, pieces: dict[File, list[tuple[str, int, int]]], into: Path) -> int:
    """Bytes of the pieces that an earlier run did not bring; whole files of the same disk are links and need none."""
    [above, *_] = [path for path in (into, *into.absolute().parents) if path.exists()]
    is_linked = above.stat().st_dev == folder.stat().st_dev
    return sum(
        length
        for file, found in pieces.items()
        for name, _, length in found
        if not (is_linked and length == file.size) and not _is_there(into / name, length)
    )


def _is_there(target: Path, length: int) -> bool:
    """Whether an earlier run left this piece; its content is read back afterwards."""
    return target.is_file() and target.stat().st_size == length


def _put(source: Path, target: Path, begin: int, length: int, progress: Progress) -> None:
    """One piece at its place, unless an earlier run left it there."""
    if _is_there(target, length):
        progress.advance(length)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if length == source.stat().st_size:
        try:
            os.link(source, target)
            progress.advance(length)
            return
        except OSError:  # another disk, or a file system without links
            pass
    parts.copy([source], target, progress, begin, length)


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
