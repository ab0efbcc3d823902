"""What the tests of the Python package share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fakes.model_files import write_model

sys.path.insert(0, str(Path(__file__).parents[2] / "python/src"))


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A tiny model, intact and with its manifest."""
    from qwen_runtime import weights

    directory = tmp_path / "model"
    write_model(directory)
    weights.write_manifest(directory, "tiny", "test-1")
    return directory
