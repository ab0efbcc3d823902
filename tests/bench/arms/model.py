"""The model that the engines serve, as converted by `make up`."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import store
from lab.paths import CACHE

NAME, CONTEXT = "smollm2-135m-instruct", 2048


def copy_to(place: Path) -> Path:
    """The model's directory, without the files that the lab keeps beside it."""
    newest = max((CACHE / "models" / NAME).glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    return shutil.copytree(newest.parent, place / NAME, ignore=shutil.ignore_patterns(store.SUMS))
