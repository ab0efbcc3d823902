"""The lab's stack as its program reads it, without a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qwen_stack import config
from qwen_stack.settings.stack import Model

STACK = Path(__file__).resolve().parents[2] / "pulumi/Pulumi.local.yaml"


def lab_model(bounds: dict[str, int], **changes: Any) -> Model:
    """The lab's first model with these bounds of `autoscaling`, for as many replicas as its plan has GPUs for."""
    stack = {key.partition(":")[2]: value for key, value in yaml.safe_load(STACK.read_text())["config"].items()}
    images = {name: f"{stack['registry']}/{name}:1" for name in ("runtime", "gateway", "prometheus", "alertmanager")}
    entry = {**stack["models"][0], "spareReplicas": 0, "acceptOutage": True, "autoscaling": bounds, **changes}
    keys = {"apiKeys": {"default": "k" * 32}, "engineKeys": ["e" * 32]}
    values = {**stack, **keys, "images": {**stack["images"], **images}, "models": [entry]}
    return config.parse(values).models[0]
