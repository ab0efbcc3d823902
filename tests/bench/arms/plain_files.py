"""Seconds of a disk and of a digest by themselves, for whatever reads and digests files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READ_BYTES = 1 << 20
HASHED_BYTES = 1 << 30


def read_seconds(files: Sequence[Path], cores: int) -> float:
    """Seconds to read the files, several at once, as fast as the disk and the kernel give them."""
    started = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(_read, files))
    return time.perf_counter() - started


def _read(path: Path) -> None:
    buffer = bytearray(READ_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def digest_seconds(size_bytes: int, cores: int) -> float:
    """Seconds to digest that size on all cores without reading it; measured on a part of it."""
    block = bytes(64 << 10)

    def work(_: int) -> None:
        digest = hashlib.sha256()
        for _ in range(HASHED_BYTES // cores // len(block)):
            digest.update(block)

    started = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, range(cores)))
    return (time.perf_counter() - started) * size_bytes / HASHED_BYTES
