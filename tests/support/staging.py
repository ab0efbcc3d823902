"""Checks of a staged target, and a new revision at its source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qwen_runtime import weights
from qwen_runtime.weights.stage import Staged

Stage = Callable[..., Staged]
TENSOR_BYTES = 3 << 20
"""Size of the source's largest tensor: more than one block."""


def whole(source: Path, target: Path) -> bool:
    """Whether the target holds exactly the source's files, verified, and nothing is left beside it."""
    weights.verify(target, full=True)
    same = {path.name: path.read_bytes() for path in source.iterdir()} == {
        path.name: path.read_bytes() for path in target.iterdir()
    }
    return same and [path.name for path in target.parent.iterdir()] == [target.name]


def change(source: Path) -> None:
    """Make another revision: one file differs."""
    (source / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    weights.write_manifest(source, "tiny", "2")
