"""The loaded test of GPUs, on a processor: it passes where results are right, and finds a single wrong element."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.server import PYTHON

SOURCES = Path(__file__).parents[2] / "python/src"
SOUND = """
import torch
from qwen_runtime.repair import burn
print(burn.load([torch.device("cpu")], 0.1, 256))
"""
# The element is wrong from a number of products on: in the first one, in the one it is compared with, and later.
BROKEN = """
import torch
calls, multiply = 0, torch.Tensor.__matmul__
def broken(left, right):
    global calls
    product = multiply(left, right)
    if product.dtype == torch.bfloat16:
        calls += 1
        if calls > {sound}:
            product[7, 11] += 1
    return product
torch.Tensor.__matmul__ = broken
"""


def ran(code: str) -> subprocess.CompletedProcess[str]:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    environment = {"PYTHONPATH": str(SOURCES)}
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_a_sound_device_passes() -> None:
    done = ran(SOUND)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


@pytest.mark.parametrize("sound", [0, 1, 2])
def test_one_wrong_element_is_found(sound: int) -> None:
    done = ran(BROKEN.format(sound=sound) + SOUND)
    assert done.returncode != 0
    assert "a product" in done.stderr
    assert "that is wrong" in done.stderr


def test_without_a_gpu_there_is_nothing_to_pass() -> None:
    done = ran("from qwen_runtime.cli import main; raise SystemExit(main(['repair', 'test']))")
    assert done.returncode == 4
    assert "no GPU" in done.stderr
