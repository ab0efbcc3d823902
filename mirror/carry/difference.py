"""The part of a filled folder that a site does not have yet, as a folder of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from qwen_runtime.errors import UsageError

from . import bundle
from .bundle import Bundle, File


def plan(folder: Path, since: Path) -> list[File]:
    """Files that the list of an earlier folder does not have in the same form. Raises UsageError."""
    known = set(bundle.read(since).files)
    return [file for file in bundle.read(folder).files if file not in known]


def write(folder: Path, files: list[File], into: Path) -> Bundle:
    """Put these files into a new folder, by links on the same disk, with a list of their own. Raises UsageError."""
    if into.exists() and any(into.iterdir()):
        raise UsageError(f"{into} is not empty", "an empty or a new folder", "Name another one by --to.")
    for file in files:
        target = into / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / file.path, target)
        except OSError:
            shutil.copyfile(folder / file.path, target)
    into.mkdir(parents=True, exist_ok=True)
    return bundle.write(into, bundle.read(folder).site)
