"""Brings a carried folder into the site's mirror: files, the apt repository and the registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qwen_runtime.errors import UsageError
from qwen_runtime.weights.progress import Progress, on_stderr

from mirror.carry import bundle, parts
from mirror.carry.bundle import Bundle, File
from mirror.item import Item
from mirror.tools import disk

from . import images, packages

FILES = ("wheels", "tools", "models")


def bring(
    folder: Path, site: str, items: Sequence[Item], root: Path, apt_key: str, authority: Path | None
) -> list[str]:
    """Bring in what is new, file by file; returns what that was. The folder is verified by the caller.

    `root`: the folder that the site's web server serves. `apt_key`: gpg's name of the key that signs its repository.
    `authority`: of the registry's certificate. Raises Error for another site's folder, for a full disk, and where a
    program fails.
    """
    carried = read_of(site, folder)
    places = {file: _place(file) for file in carried.files}
    new = {file: place for file, place in places.items() if place and not _has(root / place, file)}
    in_parts = [file for file in carried.files if file.parts and not places[file]]
    joined = images.lacking(folder, items, authority, in_parts)
    disk.refuse_full(root, sum(file.size for file in (*new, *joined)))
    with on_stderr("import", sum(file.size for file in new)) as progress:
        for file, place in new.items():
            _bring(folder, file, root / place, progress)
            progress.say(f"  {place}")
    suites = sorted({file.path.split("/")[1] for file in carried.files if file.path.startswith("apt/")})
    for suite in suites:
        is_changed = any(file.path.startswith(f"apt/{suite}/") for file in new)
        if is_changed or not packages.are_published(root / "apt", suite, apt_key):
            packages.publish(root / "apt", suite, apt_key)
    return [*new.values(), *images.push(folder, items, authority, joined, root)]


def read_of(site: str, folder: Path) -> Bundle:
    """The list of a folder that was filled for this site. Raises UsageError for another one's."""
    carried = bundle.read(folder)
    if carried.site != site:
        remedy = "Take the folder that was filled for this site."
        raise UsageError(f"a folder for {carried.site}", f"one for {site}", remedy)
    return carried


def _place(file: File) -> str:
    """The place of a carried file below the web server's folder; none for those of images, which the registry holds."""
    kind, _, rest = file.path.partition("/")
    return f"apt/pool/{rest}" if kind == "apt" else file.path if kind in FILES else ""


def _has(path: Path, file: File) -> bool:
    """Whether the same file is there; the size says it first, since nearly always it decides."""
    return path.is_file() and path.stat().st_size == file.size and bundle.sha256(path) == file.sha256


def _bring(folder: Path, file: File, place: Path, progress: Progress) -> None:
    """Put a carried file in its place, from its parts where it has several. Raises UsageError for another content."""
    arrived = parts.join(folder, file.pieces, place, progress)
    if arrived != file.sha256:
        place.unlink()
        raise UsageError(f"{file.path} with sha256:{arrived}", f"sha256:{file.sha256}", bundle.AGAIN)
