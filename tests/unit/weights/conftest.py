"""A model at its source, a target for it, and staging with short waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.weights import stage as staging
from qwen_runtime.weights.stage import Options, Staged
from qwen_runtime.weights.transfer import Patience

from tests.fakes.model_files import write_model
from tests.support.staging import TENSOR_BYTES, Stage


@pytest.fixture
def source_dir(tmp_path: Path) -> Path:
    """Shards of more than one block, as a mirror offers them."""
    directory = tmp_path / "source"
    write_model(directory, TENSOR_BYTES)
    weights.write_manifest(directory, "tiny", "1")
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


@pytest.fixture
def stage(target: Path) -> Stage:
    def call(
        *sources: object,
        neighbours: tuple[str, ...] = (),
        stall_s: float = 0.5,
        neighbour_s: float = 0,
        **options: object,
    ) -> Staged:
        defaults = {"model": None, "parallel": 2, "margin_bytes": 0}
        settings = Options(patience=Patience(stall_s, neighbour_s, pause_s=0.01), **{**defaults, **options})  # type: ignore[arg-type]
        named, asked_first = (
            [staging.source_of(str(text), stall_s) for text in texts] for texts in (sources, neighbours)
        )
        return staging.stage(target, named, asked_first, settings)

    return call
