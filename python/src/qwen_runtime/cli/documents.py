"""Documents that commands write: whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError


def refuse_output(path: Path, option: str = "--output") -> None:
    """Raise UsageError where no file can be written, before anything long begins."""
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"{option} {path}", "a file in a directory that exists", "Correct the path.")


def write(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
