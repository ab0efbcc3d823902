"""The directory beside the target in which one run at a time builds it, and the renames that put it in place.

`.NAME.DIGEST.partial` is named after the manifest, so that revisions never mix. In it `parts` holds files that are
arriving and `files` those that are right. The next run continues what an interrupted one left.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qwen_runtime.errors import HostError


@dataclass(frozen=True, slots=True)
class StagingArea:
    target: Path
    root: Path

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    @property
    def files(self) -> Path:
        return self.root / "files"

    def put_in_place(self) -> None:
        """Moves the files to the target by two renames on one file system.

        Readers see the old directory, then briefly none, then the new one.
        """
        for folder, _, _ in os.walk(self.files):
            _sync(Path(folder))
        if self.target.exists():
            _remove(_previous(self.target))
            self.target.rename(_previous(self.target))
        self.files.rename(self.target)
        _sync(self.target.parent)
        _remove(_previous(self.target))
        _remove(self.root)


def of(target: Path, manifest_sha256: str) -> StagingArea:
    return StagingArea(target, target.parent / f".{target.name}.{manifest_sha256[:12]}.partial")


@contextmanager
def locked(area: StagingArea) -> Iterator[None]:
    """Holds the area for this process, and removes what was begun of other revisions.

    Raises HostError while another process works on the same target.
    """
    area.target.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(area.root)
    try:
        remove_leftovers(area.target, keep=area.root)
        for folder in (area.parts, area.files):
            folder.mkdir(exist_ok=True)
        yield
    finally:
        os.close(lock)


def remove_leftovers(target: Path, keep: Path | None = None) -> None:
    """Removes what runs for other revisions began, and the directory that an interrupted run had moved aside."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{12}\.partial")
    for other in [path for path in target.parent.iterdir() if ours.fullmatch(path.name) and path != keep]:
        lock = _lock(other)
        try:
            _remove(other)
        finally:
            os.close(lock)
    if target.exists():
        _remove(_previous(target))


def _previous(target: Path) -> Path:
    return target.parent / f".{target.name}.previous"


def _lock(directory: Path) -> int:
    """Descriptor that holds the directory until it is closed; the kernel releases it when the process dies."""
    while True:
        directory.mkdir(exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HostError(
                f"another process is staging to {directory}",
                "one at a time",
                "Wait until it has ended (lslocks shows it).",
            ) from None
        if directory.exists() and directory.samefile(f"/proc/self/fd/{descriptor}"):
            return descriptor
        os.close(descriptor)  # its holder ended and removed it meanwhile


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
