"""The program's folder is the root of its imports, as it is when pulumi runs it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
sys.path[:0] = [str(PROGRAM), str(PROGRAM.parent / "python/src")]

KEY = "a-key-for-tests-0123456789"


def stack_values(stack: str) -> dict[str, Any]:
    """What Pulumi.<stack>.yaml says, without the project's prefix."""
    text = (PROGRAM / f"Pulumi.{stack}.yaml").read_text()
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}


@pytest.fixture
def local() -> dict[str, Any]:
    """Pulumi.local.yaml, completed as whoever runs the stack completes it."""
    values = stack_values("local")
    images = {
        name: f"{values['registry']}/qwen-onprem/{name}@sha256:{digit * 64}"
        for name, digit in (("runtime", "a"), ("gateway", "b"), ("prometheus", "c"), ("alertmanager", "d"))
    }
    return {**values, "images": {**values["images"], **images}, "apiKeys": {"default": KEY}}


@pytest.fixture
def example() -> dict[str, Any]:
    """Pulumi.example.yaml with a key."""
    return {**stack_values("example"), "apiKeys": {"team": KEY}}


@pytest.fixture
def settings(local: dict[str, Any]) -> Any:
    import config

    return config.parse(local)
