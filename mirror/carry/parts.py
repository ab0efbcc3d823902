"""Copies of files from folder to folder, in parts where a file system takes no large files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from qwen_runtime.weights import digest
from qwen_runtime.weights.progress import Progress

from .bundle import File, Part, Piece, part_name

BLOCK_BYTES = 1 << 20


def cut(file: File, largest_bytes: int) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and length of each piece of a file that is carried; a small file is one piece."""
    if file.size <= largest_bytes:
        yield file.path, 0, file.size
        return
    for number, begin in enumerate(range(0, file.size, largest_bytes), 1):
        yield part_name(file.path, number), begin, min(largest_bytes, file.size - begin)


def copy(sources: Iterable[Path], target: Path, progress: Progress, begin: int = 0, length: int | None = None) -> str:
    """Write what the sources hold, one behind the other, as one file that is there as a whole or not at all.

    `begin`, `length`: the bytes of each source; all of it where nothing is said. Returns the SHA-256 of what was read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    read = hashlib.sha256()
    with partial.open("wb") as written:
        for source in sources:
            for block in _blocks(source, begin, length):
                read.update(block)
                written.write(block)
                progress.advance(len(block))
        written.flush()
        os.fsync(written.fileno())
    partial.chmod(0o644)
    partial.replace(target)
    return read.hexdigest()


def _blocks(source: Path, begin: int, length: int | None) -> Iterator[bytes]:
    left = source.stat().st_size - begin if length is None else length
    with source.open("rb") as file:
        file.seek(begin)
        while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
            left -= len(block)
            yield block


class _Both:
    """Digests of the whole and of its present part."""

    def __init__(self) -> None:
        self.whole, self.part = hashlib.sha256(), hashlib.sha256()

    def update(self, block: memoryview) -> None:
        self.whole.update(block)
        self.part.update(block)


def read_back(folder: Path, file: File, pieces: list[tuple[str, int, int]], progress: Progress) -> File:
    """The file as its pieces in a folder are: its digest, and those of its parts where it has several."""
    if len(pieces) == 1:
        return File(file.path, file.size, digest.sha256_of(folder / pieces[0][0], progress))
    sums = _Both()
    parts: list[Part] = []
    for name, _, length in pieces:
        sums.part = hashlib.sha256()
        with (folder / name).open("rb", buffering=0) as piece:
            os.posix_fadvise(piece.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read the disk, not the kernel's cache
            digest.feed(sums, piece.fileno(), progress)
        parts.append(Part(length, sums.part.hexdigest()))
    return File(file.path, file.size, sums.whole.hexdigest(), tuple(parts))


def join(folder: Path, pieces: Iterable[Piece], target: Path, progress: Progress) -> str:
    """Put a carried file together at its place; returns its SHA-256."""
    return copy([folder / piece.path for piece in pieces], target, progress)
