"""Keeps long files from filling the kernel's cache with bytes that nobody reads again.

The pages of bytes that were read or written serve the bytes that follow, so a file of any length passes through a few
of them. Pages that another process has mapped, such as an engine's weights, stay.
"""

from __future__ import annotations

import os

STEP_BYTES = 8 << 20
"""Distance between two looks at the pages that can go."""
WINDOW_BYTES = 64 << 20
"""Distance kept behind the position: a written page can go once it is on the disk, which takes a few steps."""


class Passing:
    """Follows the position in one open file."""

    def __init__(self, descriptor: int, position: int = 0) -> None:
        self._descriptor = descriptor
        self._position = self._looked_at = position

    def advance(self, count: int) -> None:
        """Moves the position by the number of bytes that were read or written."""
        self._position += count
        if self._position - self._looked_at >= STEP_BYTES:
            self.let_go(max(0, self._position - WINDOW_BYTES))

    def let_go(self, begin: int = 0) -> None:
        """Lets the pages from `begin` to the position go; starts to write those that are not on the disk yet."""
        if self._position > begin:  # a length of 0 would mean all of the file
            os.posix_fadvise(self._descriptor, begin, self._position - begin, os.POSIX_FADV_DONTNEED)
        self._looked_at = self._position
