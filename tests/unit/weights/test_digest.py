"""Digests cover whole files, and neither digesting nor fetching fills the kernel's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.weights import digest
from qwen_runtime.weights.manifest import FileEntry
from qwen_runtime.weights.part import Part
from qwen_runtime.weights.passing import STEP_BYTES, WINDOW_BYTES
from qwen_runtime.weights.progress import Progress
from qwen_runtime.weights.sources import DirectorySource


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system with a disk, and one on a file system without."""
    if request.param == "disk":
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder)


@pytest.mark.parametrize("size", [0, 1, 4096, STEP_BYTES - 1, STEP_BYTES, 3 * STEP_BYTES + 513])
def test_the_digest_is_of_the_whole_file(place: Path, size: int) -> None:
    content = os.urandom(size)
    (place / "file").write_bytes(content)
    assert digest.sha256_of(place / "file") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk, even when /tmp is in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def cached_bytes(path: Path) -> int:
    """Bytes of the file that are in the kernel's cache."""
    command = ("fincore", "--bytes", "--noheadings", "--output", "RES", path)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_was_digested_does_not_stay_in_the_kernels_cache(disk: Path) -> None:
    path = disk / "file"
    with path.open("wb") as file:
        file.write(bytes(2 * WINDOW_BYTES))
        os.fsync(file.fileno())
    assert cached_bytes(path) > WINDOW_BYTES
    digest.sha256_of(path)
    assert cached_bytes(path) < STEP_BYTES


def test_what_was_fetched_does_not_stay_in_the_kernels_cache(disk: Path) -> None:
    size = 2 * WINDOW_BYTES
    part = Part(disk / "part", size, Progress("", 0))
    with (disk / "source").open("wb") as file:
        file.truncate(size)
    entry = FileEntry("source", size, "")
    body = DirectorySource(disk).open(entry, 0)
    part.take(body, "there", stall_s=60)
    body.close()
    part.keep_as(disk / "whole")
    part.close()
    assert (disk / "whole").stat().st_size == size
    assert cached_bytes(disk / "whole") < STEP_BYTES
