"""Git LFS pointers: the few lines of text that a clone without LFS leaves in place of a large file.

Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from pathlib import Path

LONGEST_BYTES = 1024
"""A pointer is shorter than this, by its specification."""
REMEDY = "Fetch the file itself, e.g. by `git lfs pull` in the clone."
_POINTER = re.compile(rb"version https?://\S+/spec/v1\n(?:\S+ .*\n)*?oid \S+\nsize (\d{1,19})\n?")


def describe(path: Path) -> str | None:
    """Description of the file if it is a pointer, else None. Raises OSError when it cannot be read."""
    if not 0 < path.stat().st_size < LONGEST_BYTES:
        return None
    pointer = _POINTER.match(path.read_bytes())
    return f"a Git LFS pointer to {int(pointer[1])} bytes" if pointer else None
