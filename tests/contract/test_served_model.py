"""The planner reads the weights that are really served, and its plan of them is one that the server takes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lab.paths import KUBECONFIG

pytestmark = pytest.mark.skipif(not KUBECONFIG.exists(), reason=f"no lab is up: {KUBECONFIG} is missing")


def test_the_served_weights_have_the_size_that_follows_from_their_shape(
    kubectl: Callable[..., str], model: str
) -> None:
    inside = ("--namespace", "qwen", "exec", "deployment/model-server", "--")
    command = f"qwen-runtime plan --model /models/{model} --gpu cpu --gpus-per-node 1 --context 2048 --json"
    plan = json.loads(kubectl(*inside, *command.split()))
    manifest = json.loads(kubectl(*inside, "cat", f"/models/{model}/manifest.json"))
    stored_bytes = sum(file["size"] for file in manifest["files"] if file["path"].endswith(".safetensors"))
    assert plan["fits"]
    assert plan["weights_bytes"] == pytest.approx(stored_bytes, rel=0.001), "headers of the shards are the difference"
