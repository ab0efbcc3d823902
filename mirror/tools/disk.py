"""Room on a disk, asked for before anything is written there."""

from __future__ import annotations

import shutil
from pathlib import Path

from qwen_runtime.errors import UsageError


def refuse_full(folder: Path, needed_bytes: int) -> None:
    """Make a folder whose disk has this much room. Raises UsageError where it has less."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        found, needed = f"{free / 1e9:.1f} GB free at {folder}", f"{needed_bytes / 1e9:.1f} GB"
        raise UsageError(found, needed, "Make room there; nothing was changed.")
