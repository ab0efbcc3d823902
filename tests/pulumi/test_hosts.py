"""Models that share a site: pods of different sizes have hosts of their own, so that large pods find free GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import model_server

from .planned_stacks import EXAMPLE, write_plan

Values = dict[str, Any]
LARGE, SMALL = {"qwen-onprem/pool": "large"}, {"qwen-onprem/pool": "small"}


@pytest.fixture
def two_models(example: Values, tmp_path: Path) -> Values:
    """The flagship on two hosts, and eight replicas of one GPU on a third, each by a plan of its own."""
    write_plan(tmp_path / "small.json", "Qwen3-Coder-30B-A3B-Instruct-FP8", 1, "--context", "32768")
    small = {"name": "qwen3-coder-30b-a3b-instruct-fp8", "plan": str(tmp_path / "small.json")}
    return {**example, "models": [*example["models"], small]}


def on_hosts(values: Values, *hosts: dict[str, str]) -> Values:
    """The same with a selection of hosts for each entry."""
    return {
        **values,
        "models": [{**entry, "hosts": labels} for entry, labels in zip(values["models"], hosts, strict=True)],
    }


def test_a_second_model_takes_its_sizes_from_its_own_plan(two_models: Values) -> None:
    flagship, small = config.parse(on_hosts(two_models, LARGE, SMALL)).models
    assert (flagship.gpus_per_replica, flagship.replicas) == (8, 2)
    assert (small.gpus_per_replica, small.replicas) == (1, 8)
    assert small.plan is not None
    assert small.plan.text != EXAMPLE.read_text()
    assert (flagship.server, small.server) == ("model-server", "model-server-qwen3-coder-30b-a3b-instruct-fp8")


@pytest.mark.parametrize("hosts", [({}, {}), (LARGE, {}), ({}, SMALL), (SMALL, SMALL), (LARGE, {"other": "label"})])
def test_small_pods_that_could_block_a_host_for_large_ones_are_refused(
    two_models: Values, hosts: tuple[dict[str, str], dict[str, str]]
) -> None:
    with pytest.raises(config.ConfigError, match="pods of 1 and of 8 GPUs that may share hosts") as caught:
        config.parse(on_hosts(two_models, *hosts))
    assert [problem.keys for problem in caught.value.problems] == [("models[1].hosts", "models[0].hosts")]


def test_a_single_host_has_no_remainder_to_lose(two_models: Values) -> None:
    only = {"kubernetes.io/hostname": "dgx1"}
    assert len(config.parse(on_hosts(two_models, only, only)).models) == 2


def test_pods_select_their_hosts_among_those_with_gpus(two_models: Values) -> None:
    flagship, small = config.parse(on_hosts(two_models, LARGE, SMALL)).models
    for model, labels in ((flagship, LARGE), (small, SMALL)):
        pod = model_server.deployment(model, "image", "nvidia")["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {**labels, "nvidia.com/gpu.present": "true"}


def test_a_name_in_the_api_is_independent_of_the_weights(two_models: Values) -> None:
    flagship, _ = config.parse(on_hosts(two_models, LARGE, SMALL)).models
    assert (flagship.served_name, flagship.name) == ("qwen3-coder", "qwen3-coder-480b-a35b-instruct-fp8")
    arguments = model_server.arguments(flagship)
    assert arguments[arguments.index("--served-model-name") + 1] == "qwen3-coder"
    assert arguments[arguments.index("--model") + 1] == "/models/qwen3-coder-480b-a35b-instruct-fp8"
