"""A vLLM of a tiny model for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.engines import engines


@pytest.fixture(scope="session")
def client(tiny_moe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with engines(tiny_moe, tmp_path_factory.mktemp("vllm")) as start:
        process, api, health = start()
        process.wait_ready(health)
        yield api
