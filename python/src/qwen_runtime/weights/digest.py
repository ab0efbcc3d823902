"""SHA-256 of many files at once, in bounded memory.

hashlib is OpenSSL's, which uses the CPU's SHA instructions where there are any, and releases the interpreter's lock:
threads hash on all cores.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from qwen_runtime.weights.progress import Progress

# Small enough to stay in a core's own cache between the read and the digest, which costs less than a larger read saves.
CHUNK_BYTES = 128 << 10
# What a disk is asked for at once where the kernel's cache is passed by.
DIRECT_BYTES = 1 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """Hexadecimal digest of a file as it is on the disk; OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        _feed_direct(digest, file.fileno(), progress)
        feed(digest, file.fileno(), progress)
    return digest.hexdigest()


def _feed_direct(digest: hashlib._Hash, descriptor: int, progress: Progress | None) -> None:
    """Updates the digest with what can be read past the kernel's cache: all of a file, or nothing on some file systems.

    The disk's own bytes are what is to be verified, and the kernel's copying costs as much as the digest.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with mmap.mmap(-1, DIRECT_BYTES) as block, memoryview(block) as view:  # begins at a page, as such reads must
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
            _feed_by(view, digest, descriptor, progress)
        except OSError as error:
            if error.errno != errno.EINVAL:  # no such reads here, or none from behind a last part of a block
                raise
        finally:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


def feed(digest: hashlib._Hash, descriptor: int, progress: Progress | None = None) -> int:
    """Updates the digest with the file from its current position to its end; returns the bytes read."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return _feed_by(memoryview(bytearray(CHUNK_BYTES)), digest, descriptor, progress)


def _feed_by(block: memoryview, digest: hashlib._Hash, descriptor: int, progress: Progress | None) -> int:
    total = 0
    while count := os.readv(descriptor, [block]):
        digest.update(block[:count])
        total += count
        if progress:
            progress.advance(count)
    return total


def in_parallel(
    task: Callable[[Item], Result], items: Iterable[Item], workers: int, progress: Progress
) -> dict[Item, Result]:
    """Result of the task for each item. The first exception, an interrupt too, cancels the rest and is raised."""
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        futures: dict[Future[Result], Item] = {pool.submit(task, item): item for item in items}
        return {futures[future]: future.result() for future in as_completed(futures)}
    except BaseException:
        progress.cancel()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def sums(directory: Path, sizes: Mapping[str, int], progress: Progress) -> dict[str, str | OSError]:
    """Digest of each file below the directory, or why it cannot be read.

    sizes in bytes: the largest files are begun first, so that all cores end at about the same time.
    """

    def attempt(path: str) -> str | OSError:
        try:
            return sha256_of(directory / path, progress)
        except OSError as error:
            return error

    # A thread that waits for the disk leaves its core to another one.
    return in_parallel(attempt, sorted(sizes, key=lambda path: -sizes[path]), 2 * cores(), progress)
