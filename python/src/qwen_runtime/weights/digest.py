"""SHA-256 of many files at once, in bounded memory.

hashlib is OpenSSL's, which uses the CPU's SHA instructions where there are any, and releases the interpreter's lock:
threads hash on all cores.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol, TypeVar

from qwen_runtime.weights.passing import Passing
from qwen_runtime.weights.progress import Progress

# It stays in a core's own cache between the read and the digest, which saves more than a larger read would.
CHUNK_BYTES = 128 << 10

Item = TypeVar("Item")
Result = TypeVar("Result")


class Sink(Protocol):
    """A digest, or several that are fed together."""

    def update(self, data: memoryview, /) -> None: ...


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """Hexadecimal digest of a file as it is on the disk. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read the disk, not the kernel's cache
        feed(digest, file.fileno(), progress)
    return digest.hexdigest()


def feed(digest: Sink, descriptor: int, progress: Progress | None = None) -> int:
    """Updates the digest with a whole file and returns its length in bytes. The descriptor must be at its beginning."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    block = memoryview(bytearray(CHUNK_BYTES))
    passing = Passing(descriptor)
    total = 0
    while count := os.readv(descriptor, [block]):
        digest.update(block[:count])
        passing.advance(count)
        total += count
        if progress:
            progress.advance(count)
    passing.let_go()
    return total


def in_parallel(
    task: Callable[[Item], Result], items: Iterable[Item], workers: int, progress: Progress
) -> dict[Item, Result]:
    """Result of the task for each item. The first exception, also an interrupt, cancels the rest and is raised."""
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
    """Digest of each file below the directory, or the error that kept it from being read.

    sizes: in bytes. The largest files start first, so that all cores end at about the same time.
    """

    def attempt(path: str) -> str | OSError:
        try:
            return sha256_of(directory / path, progress)
        except OSError as error:
            return error

    # A thread that waits for the disk leaves its core to another one.
    return in_parallel(attempt, sorted(sizes, key=lambda path: -sizes[path]), 2 * cores(), progress)
