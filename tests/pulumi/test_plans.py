"""A stack takes its sizes from a plan, may not contradict it, and stops with its message when it does not fit."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import config
from specs import model_server

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
EXAMPLE = PROGRAM / "plan.example.json"
SOURCE = PROGRAM.parent / "python/src"
Values = dict[str, Any]


def command(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(
        [sys.executable, "-m", "qwen_runtime", *arguments], env=environment, text=True, capture_output=True, check=False
    )


def plan(model: str, nodes: int) -> subprocess.CompletedProcess[str]:
    hosts = ["--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", str(nodes)]
    return command(["plan", "--model", model, *hosts, "--json"])


def with_plan(values: Values, path: Path, **changes: Any) -> Values:
    path.write_text(json.dumps({**json.loads(EXAMPLE.read_text()), **changes}))
    return {**values, "plan": str(path)}


def test_the_committed_plan_is_what_its_command_writes() -> None:
    committed = EXAMPLE.read_text()
    written_by = json.loads(committed)["command"]
    done = command(shlex.split(written_by)[1:])
    assert done.stdout == committed, f"run: {written_by} > pulumi/{EXAMPLE.name}"


def test_what_the_stack_leaves_out_comes_from_its_plan(example: Values) -> None:
    model, planned = config.parse(example).model, json.loads(EXAMPLE.read_text())
    assert (model.gpus_per_replica, model.replicas, model.max_model_len) == (8, 2, 131072)
    assert model.memory_request == planned["kubernetes"]["memory_request"]
    assert model.env == planned["environment"]
    assert list(model.extra_args[:3]) == ["--tensor-parallel-size", "8", "--enable-expert-parallel"]
    assert not {"--max-model-len", "--dtype", "131072", "bfloat16"} & set(model.extra_args)
    assert model_server.grace_seconds(model) == planned["kubernetes"]["termination_grace_period_seconds"]


def test_the_stack_may_say_otherwise_where_the_plan_allows_it(example: Values) -> None:
    more = {"replicas": 1, "maxModelLen": 65536, "extraArgs": ["--seed=1"], "env": {"VLLM_USE_DEEP_GEMM": "1"}}
    model = config.parse({**example, "model": {**example["model"], **more}}).model
    assert (model.replicas, model.max_model_len) == (1, 65536)
    assert model.extra_args[-1] == "--seed=1"
    assert "--enable-expert-parallel" in model.extra_args
    assert model.env["VLLM_USE_DEEP_GEMM"] == "1"


@pytest.mark.parametrize(
    ("key", "value", "keys"),
    [
        ("name", "qwen3-coder-30b-a3b-instruct", [("model.name", "plan")]),
        ("maxModelLen", 262144, [("model.maxModelLen", "plan")]),
        ("gpusPerReplica", 4, [("model.gpusPerReplica", "model.extraArgs"), ("model.gpusPerReplica", "plan")]),
        (
            "extraArgs",
            ["--tensor-parallel-size", "4"],
            [("model.gpusPerReplica", "model.extraArgs")],
        ),
    ],
)
def test_a_stack_that_contradicts_its_plan_is_refused(
    example: Values, key: str, value: object, keys: list[tuple[str, ...]]
) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**example, "model": {**example["model"], key: value}})
    assert [problem.keys for problem in caught.value.problems] == keys


def test_a_plan_that_does_not_fit_stops_the_stack_with_its_own_message(example: Values, tmp_path: Path) -> None:
    done = plan("Qwen3-Coder-480B-A35B-Instruct", nodes=1)
    (tmp_path / "plan.json").write_text(done.stdout)
    with pytest.raises(config.PlanError) as caught:
        config.parse({**example, "plan": str(tmp_path / "plan.json")})
    assert f"qwen-runtime: {caught.value}\n" == done.stderr


def test_a_replica_over_several_hosts_is_a_group_of_pods(example: Values, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(plan("Qwen3-Coder-480B-A35B-Instruct", nodes=2).stdout)
    values = {**example, "plan": str(tmp_path / "plan.json")}
    asked = {"name": "qwen3-coder-480b-a35b-instruct"}
    model = config.parse({**values, "model": asked}).model
    assert (model.nodes_per_replica, model.gpus_per_replica, model.gpus_per_pod) == (2, 16, 8)
    assert "--nnodes" not in model.extra_args, "serve itself tells the engine"
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**values, "model": {**asked, "nodesPerReplica": 1}})
    assert ("model.nodesPerReplica", "plan") in [problem.keys for problem in caught.value.problems]


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("{", "not JSON"), ("[]", "no plan of")])
def test_a_file_that_is_no_plan_is_named(example: Values, tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(config.ConfigError, match=message) as caught:
        config.parse({**example, "plan": str(path)})
    assert caught.value.problems[0].keys == ("plan",)


def test_a_plan_of_another_format_is_refused(example: Values, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="no plan of format 1"):
        config.parse(with_plan(example, tmp_path / "plan.json", format=2))


def test_a_plan_that_was_cut_is_refused(example: Values, tmp_path: Path) -> None:
    cut = json.loads(EXAMPLE.read_text())
    del cut["kubernetes"], cut["launch"]
    (tmp_path / "plan.json").write_text(json.dumps(cut))
    with pytest.raises(config.ConfigError, match="which lacks kubernetes, launch"):
        config.parse({**example, "plan": str(tmp_path / "plan.json")})


@pytest.mark.parametrize(("key", "value"), [("env", ["A=1"]), ("extraArgs", "--seed=1")])
def test_values_of_another_shape_are_refused_as_without_a_plan(example: Values, key: str, value: object) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**example, "model": {**example["model"], key: value}})
    assert any(f"model.{key}" in keys for problem in caught.value.problems for keys in problem.keys)


def test_a_path_that_is_no_text_is_refused_like_any_other_value(example: Values) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**example, "plan": 5})
    assert ("plan",) in [problem.keys for problem in caught.value.problems]
