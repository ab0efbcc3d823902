"""Files in a model directory: which there are, and which there may be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from qwen_runtime import lfs
from qwen_runtime.errors import Fault

MANIFEST_NAME = "manifest.json"
LONGEST_NAME_BYTES = 255  # NAME_MAX of Linux
LONGEST_PATH_BYTES = 1024  # well below PATH_MAX, which also holds the directory
STAGE_AGAIN = "Stage the model again from its source."
DOWNLOADERS_FOLDERS = (".cache/huggingface", ".git")
"""Folders in which huggingface_hub and git keep their own state."""
DOWNLOADERS_SUFFIXES = (".incomplete", ".lock")


def listing(faults: list[Fault]) -> str:
    return f"{len(faults)} fault(s):\n  " + "\n  ".join(map(str, faults))


def is_inside(path: str) -> bool:
    """Whether a manifest may list the path: relative, in its shortest form, below the directory, printable."""
    pure = PurePosixPath(path)
    return (
        path == str(pure)
        and path not in (".", MANIFEST_NAME)
        and not pure.is_absolute()
        and ".." not in pure.parts
        and path.isprintable()  # no control characters, and no lone surrogates, which no file system takes
        and all(len(part.encode()) <= LONGEST_NAME_BYTES for part in pure.parts)
        and len(path.encode()) <= LONGEST_PATH_BYTES
    )


def files_in(directory: Path) -> set[str]:
    """Every file and link below the directory, as relative paths with forward slashes.

    The manifest and the downloader's own files are left out.
    """

    def walk() -> Iterator[str]:
        for parent, folders, names in os.walk(directory):
            here = Path(parent).relative_to(directory)
            folders[:] = [folder for folder in folders if (here / folder).as_posix() not in DOWNLOADERS_FOLDERS]
            links = [folder for folder in folders if Path(parent, folder).is_symlink()]
            for name in (*names, *links):
                yield (here / name).as_posix()

    return {path for path in walk() if path != MANIFEST_NAME and not path.endswith(DOWNLOADERS_SUFFIXES)}


def shape_fault(directory: Path, path: str, size_bytes: int | None = None) -> Fault | None:
    """A fault unless the path is a regular file of that size that no link leads to."""
    needed = "a regular file" if size_bytes is None else f"{size_bytes} bytes"
    for step in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
        current = directory / step
        if step.name and current.is_symlink():
            return Fault(
                path,
                f"a link to {current.readlink()}",
                "a regular file",
                "Put the file itself there (cp --dereference).",
            )
    file = directory / path
    if not file.is_file():
        return Fault(path, "no regular file" if file.exists() else "nothing", needed, STAGE_AGAIN)
    if pointer := lfs.describe(file):
        return Fault(path, pointer, "the file that it points to", lfs.REMEDY)
    found_bytes = file.stat().st_size
    if size_bytes is not None and found_bytes != size_bytes:
        return Fault(path, f"{found_bytes} bytes", needed, STAGE_AGAIN)
    return None
