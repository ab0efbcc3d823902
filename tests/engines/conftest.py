"""A tiny model of random weights, and real engines that serve it under the supervisor."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime import weights

from tests.support.engines import TINY, Start, engines
from tests.support.server import PYTHON


@pytest.fixture(scope="session")
def tiny_moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    directory = tmp_path_factory.mktemp(TINY)
    subprocess.run([PYTHON, Path(__file__).with_name("tiny_moe.py"), directory], check=True)
    weights.write_manifest(directory, TINY, "random-1")
    return directory


@pytest.fixture
def start(tiny_moe: Path, tmp_path: Path) -> Iterator[Start]:
    with engines(tiny_moe, tmp_path) as start:
        yield start
