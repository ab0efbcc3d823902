"""Progress of programs that fetch or copy, measured: each of them tells it in another way, or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from qwen_runtime.weights.progress import Progress


class Growth(Progress):
    """Progress of work whose size so far is measured each time it is shown.

    `measure`: bytes that are there, those from before the work included.
    """

    def __init__(
        self,
        what: str,
        total_bytes: int,
        measure: Callable[[], int],
        stream: TextIO | None = None,
        interval_s: float | None = None,
    ) -> None:
        super().__init__(what, total_bytes, stream or sys.stderr, interval_s)
        self._measure, self._before = measure, measure()

    def line(self) -> str:
        self._done_bytes = max(0, self._measure() - self._before)
        return super().line()


def size_of(*places: Path) -> int:
    """Bytes of files and of all files below folders. One that vanishes meanwhile counts nothing."""
    return sum(_size(file) for place in places for file in ([place] if place.is_file() else place.rglob("*")))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:
        return 0


def read_by_children() -> int:
    """Bytes that the programs which run for this one have read so far; 0 where the kernel does not tell."""
    children = [child for file in Path("/proc/self/task").glob("*/children") for child in _text(file).split()]
    read = [re.search(r"^rchar: (\d+)$", _text(Path(f"/proc/{child}/io")), re.MULTILINE) for child in children]
    return sum(int(found[1]) for found in read if found)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
