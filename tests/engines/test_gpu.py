"""vLLM on a GPU starts by the plan, has the memory that was predicted, and is warm after `warm`.

The model has the shape of Qwen3-Coder-30B-A3B with eight of its layers, and random weights. How fast it is beside the
prediction is a measurement: `make bench BENCH=gpu_moe`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from qwen_runtime import plan
from qwen_runtime.units import GIB

from tests.bench import gpu_moe
from tests.support.processes import SOURCE
from tests.support.server import PYTHON

pytestmark = pytest.mark.gpu
LAYERS = 8
COMPILED = "during inference"
"""Words of vLLM's own monitor for a kernel that compiles or is tuned after the start."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> plan.Plan:
    gpu, directory = gpu_moe.find_gpu(), tmp_path_factory.mktemp("model")
    assert gpu is not None
    gpu_moe.write_model(directory, PYTHON, LAYERS, tiny=False)
    return gpu_moe.draw(directory, gpu, 8, tiny=False)


@pytest.fixture(scope="module")
def engine(planned: plan.Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gpu_moe.Started]:
    scratch = tmp_path_factory.mktemp("engine")
    started = gpu_moe.start(planned, PYTHON, scratch / "log", scratch / "cache")
    yield started
    started.process.end()


def warm(engine: gpu_moe.Started) -> list[str]:
    """Lines of `qwen-runtime warm`."""
    command = [sys.executable, "-m", "qwen_runtime", "warm", "--endpoint", f"http://127.0.0.1:{engine.client.port}/v1"]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{engine.process.log()}"
    return done.stdout.splitlines()


def test_the_kv_cache_has_the_size_that_was_planned(engine: gpu_moe.Started, planned: plan.Plan) -> None:
    kv_gib = gpu_moe.kv_cache_gib(engine)
    assert kv_gib == pytest.approx(planned.best.memory.kv_bytes / GIB, rel=0.15)


def test_a_warm_engine_compiles_nothing_when_it_is_asked_again(engine: gpu_moe.Started) -> None:
    lines = warm(engine)
    refused = [line for line in lines if "refused: " in line]
    assert all(line.startswith("a tool that may be called") for line in refused), refused
    before = engine.process.log().count(COMPILED)
    warm(engine)
    assert engine.process.log().count(COMPILED) == before
