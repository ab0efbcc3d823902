"""Archives by curl."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mirror.item import Item
from mirror.tools import programs
from mirror.tools.growth import Growth, size_of

GZIP = b"\x1f\x8b"
ASK = ("curl", "--fail", "--location", "--silent", "--head")
CURL = ("curl", "--fail", "--location", "--silent", "--show-error", "--retry", "3", "--continue-at", "-")
LENGTH = re.compile(r"^content-length: *(\d+)\s*$", re.IGNORECASE | re.MULTILINE)


def archives(items: Sequence[Item], out: Path) -> None:
    """Put the archives into out/tools. Raises ToolError, also for a page of text that comes in place of one."""
    folder = out / "tools"
    folder.mkdir(exist_ok=True)
    for item in items:
        if not (folder / item.name).exists():
            _fetch(item, folder)


def _fetch(item: Item, folder: Path) -> None:
    file, partial = folder / item.name, folder / f".{item.name}.partial"
    with Growth(f"archive {item.name}", _size_bytes(item.source) - size_of(partial), lambda: size_of(partial)) as far:
        programs.run([*CURL, "--output", str(partial), item.source], item.source, progress=far)
    with partial.open("rb") as content:
        begins = content.read(len(GZIP))
    if begins[:1] == b"<" or (file.suffix == ".gz" and begins != GZIP):
        partial.unlink()
        needed = "an archive of gzip" if file.suffix == ".gz" else "the file, and no page"
        remedy = "Look at what the address answers, and correct mirror/upstream.yml."
        raise programs.ToolError(f"{item.source} begins with {begins!r}", needed, remedy)
    partial.replace(file)


def _size_bytes(source: str) -> int:
    """Size of an archive by its server's word; 0 where the server does not say it, or cannot be asked."""
    lengths = LENGTH.findall(programs.call([*ASK, source]).stdout)
    return int(lengths[-1]) if lengths else 0
