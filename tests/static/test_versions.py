"""versions.yml: each row of the NVIDIA table is whole, and agrees with what the bundle locks elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSIONS = yaml.safe_load((ROOT / "versions.yml").read_text())["versions"]
NVIDIA = VERSIONS["nvidia"]
COLUMNS = {"driver", "fabric_manager", "cuda", "cuda_driver_min", "cudnn", "container_toolkit", "torch"}

each_stack = pytest.mark.parametrize("stack", NVIDIA["stacks"].values(), ids=NVIDIA["stacks"])


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@each_stack
def test_a_row_has_every_column_as_exact_versions(stack: dict[str, Any]) -> None:
    assert set(stack) == COLUMNS
    for column in COLUMNS - {"torch"}:
        assert re.fullmatch(r"\d+(\.\d+){2,3}", str(stack[column])), f"{column}: {stack[column]}"
    assert stack["torch"]


@each_stack
def test_the_fabric_manager_is_the_drivers_to_the_last_digit(stack: dict[str, Any]) -> None:
    assert stack["fabric_manager"] == stack["driver"]


@each_stack
def test_the_driver_runs_the_rows_cuda(stack: dict[str, Any]) -> None:
    assert numbers(stack["driver"]) >= numbers(stack["cuda_driver_min"])


@each_stack
def test_no_torch_of_a_row_needs_a_newer_major_cuda(stack: dict[str, Any]) -> None:
    assert all(numbers(cuda)[0] <= numbers(stack["cuda"])[0] for cuda in stack["torch"].values())


def test_rows_are_named_by_their_cuda() -> None:
    assert all(stack["cuda"].startswith(f"{name.removeprefix('cuda-')}.") for name, stack in NVIDIA["stacks"].items())


def test_the_default_row_runs_what_the_runtime_image_locks() -> None:
    stack = NVIDIA["stacks"][NVIDIA["default"]]
    locked = (ROOT / "locks/runtime-cuda.txt").read_text()
    assert VERSIONS["engines"]["torch"] in stack["torch"]
    assert f"\nnvidia-cudnn-cu{stack['cuda'].split('.')[0]}=={stack['cudnn']} " in locked


@each_stack
def test_the_container_toolkit_is_the_one_that_the_mirror_builds(stack: dict[str, Any]) -> None:
    module = (ROOT / "lab/tools/nvidia-container-toolkit/go.mod").read_text()
    assert f"github.com/NVIDIA/nvidia-container-toolkit v{stack['container_toolkit']} " in module
