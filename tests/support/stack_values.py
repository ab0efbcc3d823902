"""Configuration of the stacks in the tree, completed with what is set when a stack is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
KEY = "a-key-for-tests-0123456789"
ENGINE_KEY = "a-key-of-engines-for-tests-01"


def local() -> dict[str, Any]:
    """Pulumi.local.yaml with images and keys."""
    values = _of("local")
    images = {
        name: f"{values['registry']}/qwen-onprem/{name}@sha256:{digit * 64}"
        for name, digit in (("runtime", "a"), ("gateway", "b"), ("prometheus", "c"), ("alertmanager", "d"))
    }
    return {**values, "images": {**values["images"], **images}, "apiKeys": {"default": KEY}, "engineKeys": [ENGINE_KEY]}


def example() -> dict[str, Any]:
    """Pulumi.example.yaml with keys."""
    return {**_of("example"), "apiKeys": {"team": KEY}, "engineKeys": [ENGINE_KEY]}


def _of(stack: str) -> dict[str, Any]:
    text = (PROGRAM / f"Pulumi.{stack}.yaml").read_text()
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}
