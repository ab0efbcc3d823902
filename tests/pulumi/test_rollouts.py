"""Replicas change with a new one first if there are GPUs for it, else in place; an outage must be accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config, rollouts
from qwen_stack.specs import model_server

from .planned_stacks import with_entry, write_plan

Values = dict[str, Any]
SURGE = {"maxSurge": 1, "maxUnavailable": 0}
IN_PLACE = {"maxSurge": 0, "maxUnavailable": 1}
FLAGSHIP = "Qwen3-Coder-480B-A35B-Instruct-FP8"


def by_hand(local: Values, **changes: Any) -> Values:
    """One model without a plan."""
    entry = {key: value for key, value in local["models"][1].items() if key != "variant"}
    return {**local, "models": [{**entry, **changes}]}


def chosen(values: Values) -> tuple[str, dict[str, Any]]:
    """The reason, and the strategy of the Deployment."""
    [model, *_] = config.parse(values).models
    strategy = model_server.deployment(model, "image", "nvidia")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    return str(rollouts.choose(model)), strategy["rollingUpdate"]


def test_replicas_that_use_all_planned_gpus_change_in_place(example: Values) -> None:
    reason, strategy = chosen(example)
    assert strategy == IN_PLACE
    assert reason == "in-place: the planned replicas use all GPUs of 2 x 8 h100-80gb"


def test_gpus_that_are_kept_free_let_a_new_replica_start_first(local: Values) -> None:
    reason, strategy = chosen(local)
    assert strategy == SURGE
    assert "spareReplicas keeps the GPUs of 6 more free" in reason


def test_without_a_plan_nobody_knows_of_free_gpus(local: Values) -> None:
    assert chosen(by_hand(local, replicas=2))[1] == IN_PLACE
    assert chosen(by_hand(local, replicas=1))[1] == SURGE
    assert chosen(by_hand(local, replicas=2, rollout="surge"))[1] == SURGE
    assert chosen(by_hand(local, replicas=2, spareReplicas=1))[1] == SURGE


@pytest.mark.parametrize(
    ("replicas", "rollout", "waits"),
    [(1, "surge", True), (2, "surge", False), (2, "in-place", True), (3, "in-place", False)],
)
def test_a_replica_is_known_to_the_gateway_before_the_last_known_one_ends(
    local: Values, replicas: int, rollout: str, waits: bool
) -> None:
    [model] = config.parse(by_hand(local, replicas=replicas, rollout=rollout)).models
    spec = model_server.deployment(model, "image", None)["spec"]
    assert spec["minReadySeconds"] == (10 if waits else 0)
    assert spec["progressDeadlineSeconds"] > spec["minReadySeconds"] + model.startup_seconds


def test_the_stack_has_the_last_word(local: Values) -> None:
    assert chosen(with_entry(local, rollout="in-place"))[1] == IN_PLACE


def test_surge_on_full_hosts_is_refused_before_a_pod_is_pending(example: Values) -> None:
    with pytest.raises(config.ConfigError, match="8 GPUs more for the new replica") as caught:
        config.parse(with_entry(example, rollout="surge"))
    assert [problem.keys for problem in caught.value.problems] == [("models[0].rollout", "models[0].plan")]


def test_a_single_replica_in_place_needs_an_outage_that_is_accepted_by_name(example: Values, tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", FLAGSHIP, 1)
    values = with_entry(example, plan=str(tmp_path / "plan.json"))
    with pytest.raises(config.ConfigError, match="each change of this model is an outage") as caught:
        config.parse(values)
    assert [problem.keys for problem in caught.value.problems] == [("models[0].rollout", "models[0].acceptOutage")]
    assert chosen(with_entry(values, acceptOutage=True))[1] == IN_PLACE
    with pytest.raises(config.ConfigError, match="acceptOutage"):
        config.parse(with_entry(values, rollout="in-place"))


def test_a_group_over_hosts_changes_as_a_whole(example: Values, tmp_path: Path) -> None:
    bf16 = FLAGSHIP.removesuffix("-FP8")
    write_plan(tmp_path / "plan.json", bf16, 4)
    values = with_entry(example, plan=str(tmp_path / "plan.json"), name=bf16.lower())
    [model] = config.parse(values).models
    assert (model.nodes_per_replica, rollouts.choose(model).kind) == (2, "in-place")
    with pytest.raises(config.ConfigError, match="a group keeps its names"):
        config.parse(with_entry(values, rollout="surge"))
    write_plan(tmp_path / "plan.json", bf16, 2)
    with pytest.raises(config.ConfigError, match="outage"):
        config.parse(values)
