"""A container storage for one run of builds, removed at its end; the next run removes what a killed run left."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .catalog import ImageError

TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Storage:
    """buildah with its images, containers and temporary files under one folder."""

    folder: Path

    def buildah(self, *arguments: str) -> None:
        """Run buildah; the error of a failure shows the end of the output."""
        command, *rest = arguments
        argv = ["buildah", "--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        argv += ["--storage-driver", "overlay", command, *rest]
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError as error:
            raise ImageError("no buildah on PATH", "buildah 1.28 or newer", "install it") from error
        if done.returncode:
            tail = "\n  ".join(done.stdout.splitlines()[-TAIL_LINES:])
            raise ImageError(
                f"`buildah {command}` ended with {done.returncode}:\n  {tail}", "it ends with 0", "read its output"
            )

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"


@contextmanager
def opened(folder: Path) -> Iterator[Storage]:
    """Empty storage at `folder`, removed with all its mounts at the end. What a killed run left is removed first."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImageError(
                f"another build in {folder}", "one build at a time", "wait for it, or give another --work"
            ) from error
        _empty(folder)
        storage = Storage(folder)
        storage.temporary.mkdir()
        try:
            yield storage
        finally:
            _empty(folder)
            folder.rmdir()
    finally:
        os.close(held)


def _empty(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    # The deepest mount first. The kernel writes a blank in a path as \040.
    below = f"{folder.resolve()}/".replace(" ", "\\040")
    for mount in sorted((m for m in mounts if m.startswith(below)), reverse=True):
        subprocess.run(["umount", "--lazy", mount.replace("\\040", " ")], check=True)
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
