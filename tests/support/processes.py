"""Processes below those that tests start."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "python/src"
"""PYTHONPATH of a process that runs the package of this tree."""


def runs(pid: int) -> bool:
    """Whether the process is there and more than an entry for its parent to read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
