"""The signed list of the images that a site vouches for, as `qwen-mirror vouch` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from qwen_runtime import signature
from qwen_runtime.errors import UsageError

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.registry import SignedImages

KEY = "signedImages"


def read(files: SignedImages, folder: Path) -> tuple[list[str], list[Problem]]:
    """Digests of the list, each once, or what is wrong. `folder` is where relative paths begin."""
    file = folder / files.list
    try:
        if not file.is_file():
            raise UsageError(f"no file {file}", "the list that `qwen-mirror vouch` writes", "copy it and its signature")
        fault = signature.fault(file, folder / files.key)
        if fault:
            raise UsageError(fault.found, fault.needed, fault.remedy)
        return sorted({entry["digest"] for entry in json.loads(file.read_bytes())["images"]}), []
    except UsageError as error:
        return [], [Problem((f"{KEY}.list",), error.found, error.needed, error.remedy)]
