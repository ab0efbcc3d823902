"""Use of the disk by a folder while something works in it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

INTERVAL_S = 0.2
BLOCK_BYTES = 512  # of st_blocks, whatever the file system's blocks have


class Peak:
    """The most that the files below a folder took of the disk. Holes and files that are gone take nothing."""

    def __init__(self, folder: Path) -> None:
        self.bytes = 0
        self._folder = folder
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, taken_bytes(self._folder))
            if self._ended.wait(INTERVAL_S):
                return


def taken_bytes(folder: Path) -> int:
    """Bytes of the disk that files below a folder take now; one with several names counts once."""
    taken: dict[tuple[int, int], int] = {}
    for file in folder.rglob("*"):
        try:
            facts = file.lstat()
        except FileNotFoundError:
            continue
        taken[facts.st_dev, facts.st_ino] = facts.st_blocks * BLOCK_BYTES
    return sum(taken.values())
