"""A stack takes its sizes from a plan, may not contradict it, and stops with the plan's message if it does not fit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from qwen_stack import config
from qwen_stack.specs import model_server

from .planned_stacks import EXAMPLE, Values, command, with_entry, write_plan

PROGRAM = EXAMPLE.parent


def refused_keys(values: Values) -> list[tuple[str, ...]]:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(values)
    return [tuple(key.removeprefix("models[0].") for key in problem.keys) for problem in caught.value.problems]


@pytest.mark.parametrize("committed", sorted(PROGRAM.glob("plan.*.json")), ids=lambda path: path.name)
def test_a_committed_plan_is_what_its_command_writes(committed: Path) -> None:
    text = committed.read_text()
    written_by = json.loads(text)["command"]
    done = command(shlex.split(written_by)[1:])
    assert done.stdout == text, f"run: {written_by} > pulumi/{committed.name}"


def test_what_the_stack_leaves_out_comes_from_its_plan(example: Values) -> None:
    [model], planned = config.parse(example).models, json.loads(EXAMPLE.read_text())
    assert (model.gpus_per_replica, model.replicas, model.max_model_len) == (8, 2, 131072)
    assert model.memory_request == planned["kubernetes"]["memory_request"]
    assert model_server.grace_seconds(model) == planned["kubernetes"]["termination_grace_period_seconds"]


def test_pods_are_given_the_plan_itself(example: Values) -> None:
    [model] = config.parse(example).models
    plan_file = model_server.plan_file(model)
    assert plan_file is not None
    assert plan_file["data"] == {"plan.json": EXAMPLE.read_text()}
    pod = model_server.deployment(model, "image", "nvidia")["spec"]["template"]["spec"]
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "plan"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "plan"]
    assert volume["configMap"]["name"] == plan_file["metadata"]["name"]
    arguments = pod["containers"][0]["args"]
    assert arguments[arguments.index("--plan") + 1] == f"{mount['mountPath']}/plan.json"
    assert not [word for word in arguments if word.startswith("--tensor")], "serve reads it in the plan"


def test_another_plan_is_another_object_so_that_old_pods_keep_theirs(example: Values, tmp_path: Path) -> None:
    [before] = config.parse(example).models
    write_plan(tmp_path / "plan.json", "Qwen3-Coder-480B-A35B-Instruct-FP8", 2)
    [after] = config.parse(with_entry(example, plan=str(tmp_path / "plan.json"))).models
    names = [model_server.plan_file(model)["metadata"]["name"] for model in (before, after)]  # type: ignore[index]
    assert names[0] != names[1]


def test_the_stack_may_say_otherwise_where_the_plan_allows_it(example: Values) -> None:
    changes = {"maxModelLen": 65536, "extraArgs": ["--seed=1"], "memoryLimit": "200Gi", "drainSeconds": 7200}
    [model] = config.parse(with_entry(example, **changes)).models
    assert (model.max_model_len, model.memory_limit, model.drain_seconds) == (65536, "200Gi", 7200)
    arguments = model_server.arguments(model)
    assert arguments[arguments.index("--max-model-len") + 1] == "65536"
    assert arguments[arguments.index("--") + 1 :] == ["--seed=1"]


def test_a_replica_whose_gpus_stay_free_is_said_by_name(example: Values) -> None:
    [model] = config.parse(with_entry(example, spareReplicas=1)).models
    assert (model.replicas, model.spare_replicas) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"name": "qwen3-coder-30b-a3b-instruct"}, ("name", "plan")),
        ({"maxModelLen": 262144}, ("maxModelLen", "plan")),
        ({"dtype": "float32"}, ("dtype", "plan")),
        ({"engine": "transformers"}, ("engine", "plan")),
        ({"replicas": 8}, ("replicas", "spareReplicas", "plan")),
        ({"drainSeconds": 4000}, ("drainSeconds", "plan")),
        ({"spareReplicas": 2}, ("replicas", "spareReplicas", "plan")),
        ({"extraArgs": ["--tensor-parallel-size", "4"]}, ("extraArgs", "plan")),
        ({"extraArgs": ["-tp", "4", "-pp", "2"]}, ("extraArgs", "plan")),
    ],
)
def test_a_stack_that_contradicts_its_plan_is_refused(
    example: Values, changes: dict[str, object], keys: tuple[str, ...]
) -> None:
    assert refused_keys(with_entry(example, **changes)) == [keys]


def test_a_stack_file_that_still_counts_two_hosts_is_refused_with_a_plan_for_four(
    example: Values, tmp_path: Path
) -> None:
    write_plan(tmp_path / "plan.json", "Qwen3-Coder-480B-A35B-Instruct-FP8", 4)
    old = with_entry(example, plan=str(tmp_path / "plan.json"), replicas=2)
    with pytest.raises(config.ConfigError, match="2 replicas and 0 spare, and a plan for 4 on 4 hosts"):
        config.parse(old)


def test_a_plan_that_does_not_fit_stops_the_stack_with_its_own_message(example: Values, tmp_path: Path) -> None:
    done = write_plan(tmp_path / "plan.json", "Qwen3-Coder-480B-A35B-Instruct", 1)
    with pytest.raises(config.PlanError) as caught:
        config.parse(with_entry(example, plan=str(tmp_path / "plan.json")))
    assert f"{caught.value}\n" == done.stderr


def test_a_replica_over_several_hosts_is_a_group_of_pods(example: Values, tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", "Qwen3-Coder-480B-A35B-Instruct", 4)
    values = with_entry(example, plan=str(tmp_path / "plan.json"), name="qwen3-coder-480b-a35b-instruct")
    [model] = config.parse(values).models
    assert (model.nodes_per_replica, model.gpus_per_replica, model.gpus_per_pod) == (2, 16, 8)
    assert refused_keys(with_entry(values, nodesPerReplica=1)) == [("nodesPerReplica", "plan")]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_is_no_plan_is_named(example: Values, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(config.ConfigError, match=str(path)) as caught:
        config.parse(with_entry(example, plan=str(path)))
    assert caught.value.problems[0].keys == ("models[0].plan",)


def test_a_plan_of_another_format_is_refused(example: Values, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(EXAMPLE.read_text()), "format": 2}))
    with pytest.raises(config.ConfigError, match="format 2"):
        config.parse(with_entry(example, plan=str(path)))


def test_a_plan_that_was_cut_is_refused(example: Values, tmp_path: Path) -> None:
    cut = json.loads(EXAMPLE.read_text())
    del cut["kubernetes"]
    (tmp_path / "plan.json").write_text(json.dumps(cut))
    with pytest.raises(config.ConfigError, match="kubernetes"):
        config.parse(with_entry(example, plan=str(tmp_path / "plan.json")))


@pytest.mark.parametrize(("key", "value"), [("env", ["A=1"]), ("extraArgs", "--seed=1"), ("spareReplicas", "one")])
def test_values_of_another_shape_are_refused_as_without_a_plan(example: Values, key: str, value: object) -> None:
    assert (key,) in refused_keys(with_entry(example, **{key: value}))


@pytest.mark.parametrize("models", ["qwen", {"name": "qwen"}, ["qwen"]])
def test_models_of_another_shape_are_refused_like_any_other_value(example: Values, models: object) -> None:
    with pytest.raises(config.ConfigError, match="models"):
        config.parse({**example, "models": models})


def test_a_path_that_is_no_text_is_refused_like_any_other_value(example: Values) -> None:
    assert ("plan",) in refused_keys(with_entry(example, plan=5))
