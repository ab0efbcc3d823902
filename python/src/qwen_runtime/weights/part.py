"""The part of one file that has arrived so far: its bytes on the disk, and their digest."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from qwen_runtime.weights import digest
from qwen_runtime.weights.passing import Passing
from qwen_runtime.weights.progress import Progress
from qwen_runtime.weights.sources import Body, SourceFault, Unreachable

BLOCK_BYTES = 1 << 20
EARLIER_RUN = "an earlier run"


class Part:
    """Continues the bytes that an earlier run left at the path. They are digested again; none is trusted."""

    def __init__(self, path: Path, expected_bytes: int, progress: Progress) -> None:
        self.path, self._progress = path, progress
        self.givers: set[str] = set()
        """Labels of the sources whose bytes the part holds."""
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_size > expected_bytes:
            os.ftruncate(self._descriptor, 0)
        self.size_bytes = digest.feed(self._digest, self._descriptor, progress)
        if self.size_bytes:
            self.givers.add(EARLIER_RUN)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, body: Body, giver: str, stall_s: float) -> None:
        """Appends a whole body. When the source breaks off, raises SourceFault and keeps the bytes that have arrived.

        A second thread digests one block while the next one arrives.
        """
        if body.begins_at != self.size_bytes:
            self.restart()
        self.givers.add(giver)
        blocks = [memoryview(bytearray(BLOCK_BYTES)) for _ in range(2)]
        digested: list[Future[None] | None] = [None, None]
        passing = Passing(self._descriptor, self.size_bytes)
        with ThreadPoolExecutor(max_workers=1) as digester:
            for turn in cycle(range(2)):
                if previous := digested[turn]:
                    previous.result()
                count, fault = _fill(blocks[turn], body, stall_s)
                self._write(blocks[turn][:count])
                digested[turn] = digester.submit(self._digest.update, blocks[turn][:count])
                self.size_bytes += count
                passing.advance(count)
                self._progress.advance(count)
                if fault:
                    raise fault
                if not count:
                    return

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._progress.advance(-self.size_bytes)
        self.size_bytes, self._digest = 0, hashlib.sha256()
        self.givers.clear()

    def keep_as(self, path: Path) -> None:
        """Gives the whole file its name, readable by all. Its bytes are on the disk before it has the name."""
        os.fchmod(self._descriptor, 0o644)
        os.fsync(self._descriptor)
        Passing(self._descriptor, self.size_bytes).let_go()
        self.path.rename(path)

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]


def _fill(block: memoryview, body: Body, stall_s: float) -> tuple[int, SourceFault | None]:
    """Number of bytes put into the block, and the fault that ended it early.

    It is less than the block holds at the end of the file, or when the source breaks off or is almost silent.
    """
    filled = 0
    deadline = time.monotonic() + stall_s
    while filled < len(block):
        try:
            count = body.readinto(block[filled:])
        except SourceFault as fault:
            return filled, fault
        if not count:
            break
        filled += count
        if filled < len(block) and time.monotonic() > deadline:
            return filled, Unreachable(f"only {filled} bytes in {stall_s:g} s", f"{len(block)} bytes in that time")
    return filled, None
