"""What was read or written of a long file leaves the kernel's cache, where nobody would read it again.

Its pages then serve the bytes that follow: a file of any length passes through a few of them. Pages that another
process has mapped, an engine's weights for one, stay.
"""

from __future__ import annotations

import os

STEP_BYTES = 8 << 20
"""Passed between two looks at what can go."""
WINDOW_BYTES = 64 << 20
"""Looked at behind the position: what was written is let go once it is on the disk, which takes a few steps."""


class Passing:
    """Follows the position in one open file."""

    def __init__(self, descriptor: int, position: int = 0) -> None:
        self._descriptor = descriptor
        self._position = self._looked_at = position

    def advance(self, count: int) -> None:
        """So many bytes more were read or written."""
        self._position += count
        if self._position - self._looked_at >= STEP_BYTES:
            self.let_go(max(0, self._position - WINDOW_BYTES))

    def let_go(self, begin: int = 0) -> None:
        """From `begin` to the position: begins to write what is not on the disk yet, lets the rest go."""
        if self._position > begin:  # a length of 0 would mean all of the file
            os.posix_fadvise(self._descriptor, begin, self._position - begin, os.POSIX_FADV_DONTNEED)
        self._looked_at = self._position
