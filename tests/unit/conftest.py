"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from qwen_runtime import weights

from tests.fakes.model_files import write_model


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A tiny model, intact and with its manifest."""
    directory = tmp_path / "model"
    write_model(directory)
    weights.write_manifest(directory, "tiny", "test-1")
    return directory
