"""The parts of a controller that are kept, and where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from qwen_runtime.errors import UsageError

from mirror.site import Site

CLONE = Path(__file__).resolve().parents[1]
BELOW_CLONE = "clone:"
"""Beginning of a place that is relative to the clone, since another controller may have it elsewhere."""
BACKEND = "PULUMI_BACKEND_URL"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    path: Path

    @property
    def place(self) -> str:
        """The path as an archive keeps it."""
        below = self.path.is_relative_to(CLONE)
        return f"{BELOW_CLONE}{self.path.relative_to(CLONE)}" if below else str(self.path)


def parts(site: Site, folder: Path, also: Iterable[Path]) -> list[Part]:
    """Inventory, stack file, the site's files, pulumi's state, and what else is named. Raises UsageError."""
    found = [Part("inventory", folder.resolve())]
    if site.stack:
        found.append(Part("stack", site.stack_file.resolve()))
    site_files = Path(site.value("site_files", default=folder / "files")).resolve()
    if site_files.is_dir():
        found.append(Part("site-files", site_files))
    state = _state()
    if not any(state.is_relative_to(part.path) for part in found):
        found.append(Part("state", state))
    found += [Part(f"also-{number}", path.resolve()) for number, path in enumerate(also, 1)]
    absent = [str(part.path) for part in found if not part.path.exists()]
    if absent:
        raise UsageError(f"nothing at {', '.join(absent)}", "what is to be kept", "Correct the path.")
    return found


def place_of(kept: str, root: Path) -> Path:
    """The path of a kept place on this controller; `root` stands before all of it."""
    path = CLONE / kept.removeprefix(BELOW_CLONE) if kept.startswith(BELOW_CLONE) else Path(kept)
    return root / path.relative_to("/")


def _state() -> Path:
    """Folder of pulumi's state, in which nothing may be going on. Raises UsageError."""
    url = urlsplit(os.environ.get(BACKEND, ""))
    folder = Path(url.netloc + url.path)
    if url.scheme != "file" or not (folder / ".pulumi").is_dir():
        raise UsageError(
            f"{BACKEND}={os.environ.get(BACKEND, '')}",
            "file:// and the folder of pulumi's state",
            "Export it as docs/operate/install.md does. State in another place is kept by that place's own means.",
        )
    locks = [path for path in (folder / ".pulumi/locks").rglob("*") if path.is_file()]
    if locks:
        raise UsageError(
            f"a lock, {locks[0]}", "no change of the stack that goes on", "Wait for it; else `pulumi cancel`."
        )
    return folder.resolve()
