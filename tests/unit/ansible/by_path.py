"""Imports the scripts that roles carry by their paths, because no package holds them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).parents[3] / "ansible/roles"


def load(path: str) -> ModuleType:
    """A module of a role, such as preflight/files/inspect_host.py."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
