"""Remembers files as they were before they were verified, so that a change until they are loaded is noticed.

It notices a change of a file's size, time of modification or inode: a write, a copy over it, another staging. It does
not notice changes after the engine has answered, writes that set the time back, and bytes that rot on the disk; only
`--verify full` at the next start finds those.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

Look = dict[str, tuple[int, int, int]]


class Witness:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = self._look()

    def find_change(self) -> str | None:
        """The first file that is not as it was, in words."""
        now = self._look()
        for name in sorted(self._before.keys() | now.keys()):
            if now.get(name) != self._before.get(name):
                return f"{self._directory / name} changed while it was verified and loaded"
        return None

    def _look(self) -> Look:
        """Size, time of modification (ns) and inode of each file; empty where there is no such directory."""
        files: Look = {}
        for path in self._directory.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile, which is a change too
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    name = str(path.relative_to(self._directory))
                    files[name] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return files
