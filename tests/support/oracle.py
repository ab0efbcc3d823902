"""The tiny dense models of engine transformers' tests, and what transformers' own `generate` answers with them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime import weights

from tests.support.client import Client
from tests.support.server import PYTHON, Process

CONTEXT = 1024
NAME = "tiny"
SCRIPT = Path(__file__).parents[1] / "engines/transformers/oracle.py"
Oracle = tuple[Path, list[dict[str, Any]]]
Serve = Callable[..., tuple[Process, Client]]


def make_oracle(directory: Path, family: str) -> Oracle:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    output = subprocess.run([PYTHON, SCRIPT, directory, family], check=True, text=True, stdout=subprocess.PIPE).stdout
    weights.write_manifest(directory, NAME, "random-1")
    return directory, json.loads(output.splitlines()[-1])
