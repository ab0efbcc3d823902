"""Digests of files, read from the disk where the file system allows it."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.weights import digest

BLOCK = digest.DIRECT_BYTES


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk's file system, and on one that has no disk."""
    if request.param == "disk":
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder)


@pytest.mark.parametrize("size", [0, 1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 513])
def test_the_digest_is_of_the_whole_file(place: Path, size: int) -> None:
    content = os.urandom(size)
    (place / "file").write_bytes(content)
    assert digest.sha256_of(place / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_system_that_refuses_direct_reads_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int, command: int, flags: int = 0) -> int:
        if command == digest.fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return 0

    monkeypatch.setattr(digest.fcntl, "fcntl", refuse)
    (tmp_path / "file").write_bytes(b"x" * (BLOCK + 1))
    assert digest.sha256_of(tmp_path / "file") == hashlib.sha256(b"x" * (BLOCK + 1)).hexdigest()
