"""`serve --plan` takes layout, context and dtype from a plan, and stops with its message where it does not fit."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime import errors, safetensors, weights
from qwen_runtime.cli import main
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.errors import UsageError
from qwen_runtime.serve import planned, preflight
from qwen_runtime.sizing.configs import from_config

from tests.fakes.model_files import SHARDS, dense_config, write_weights
from tests.fakes.vllm_site import write_vllm_site
from tests.support.ports import free_port
from tests.support.runtime import Runtime

CONFIG = dense_config("llama", 2048)
Write = Callable[..., Path]


@pytest.fixture
def planned_model(model_dir: Path) -> Path:
    """A model whose configuration the planner can read, and weights of the sizes that follow from it."""
    (model_dir / "config.json").write_text(json.dumps(CONFIG))
    for path in (*map(model_dir.joinpath, SHARDS), model_dir / safetensors.INDEX_NAME):
        path.unlink()
    write_weights(model_dir / "model.safetensors", from_config("tiny", CONFIG, "").parameters)
    weights.write_manifest(model_dir, "tiny", "test-2")
    return model_dir


@pytest.fixture
def write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Write:
    """The plan of a model as the command writes it."""

    def call(model: object, *flags: object, gpu: str = "cpu") -> Path:
        arguments = ["plan", "--model", model, "--gpu", gpu, "--gpus-per-node", 1, "--context", 2048, "--json", *flags]
        main([str(argument) for argument in arguments])
        path = tmp_path / "plan.json"
        path.write_text(capsys.readouterr().out)
        return path

    return call


def test_the_engine_is_started_with_the_planned_arguments(tmp_path: Path, planned_model: Path, write: Write) -> None:
    write_vllm_site(tmp_path / "site")
    runtime = Runtime(tmp_path / "site", planned_model, tmp_path / "log", "--plan", str(write(planned_model)))
    runtime.wait_ready()
    [line] = [entry["message"] for entry in runtime.log() if entry["source"] == "engine"]
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    assert "--tensor-parallel-size 1" in line
    assert "--max-num-seqs" in line


def test_context_and_dtype_come_from_the_plan_unless_the_command_says_otherwise(write: Write) -> None:
    path = write("smollm2")
    settings = planned.settings(path, "vllm", None, None)
    assert (settings.max_model_len, settings.dtype) == (2048, "bfloat16")
    assert settings.environment["VLLM_CPU_KVCACHE_SPACE"]
    shorter = planned.settings(path, "vllm", 1024, "float32")
    assert (shorter.max_model_len, shorter.dtype) == (1024, "float32")
    spec = EngineSpec(Path("m"), "m", 8080, 1024, "float32", planned=shorter.arguments, extra=("--max-num-seqs", "2"))
    command = vllm.command(spec)
    last = {flag: command[i + 1] for i, flag in enumerate(command) if flag.startswith("--")}
    assert (last["--max-model-len"], last["--dtype"], last["--max-num-seqs"]) == ("1024", "float32", "2")


def test_more_context_than_was_planned_is_refused(write: Write) -> None:
    with pytest.raises(UsageError, match="--max-model-len 4096\nneeded: at most 2048 tokens"):
        planned.settings(write("smollm2"), "vllm", 4096, None)


def test_without_plan_and_command_the_context_is_the_models(planned_model: Path) -> None:
    assert planned.settings(None, "vllm", None, None).max_model_len is None
    assert preflight.longest_context(planned_model) == 2048


def test_without_a_plan_the_context_is_the_stretched_one(planned_model: Path) -> None:
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
    (planned_model / "config.json").write_text(json.dumps({**CONFIG, "rope_scaling": rope}))
    assert preflight.longest_context(planned_model) == 8192


def test_a_plan_that_does_not_fit_stops_serve_with_its_message(
    planned_model: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("Qwen3-Coder-30B-A3B-Instruct", gpu="rtx4090-24gb")
    ports = ("--port", str(free_port()), "--health-port", str(free_port()))
    code = main(["serve", "--model", str(planned_model), "--plan", str(path), *ports])
    assert code == 3
    assert capsys.readouterr().err == errors.message(**json.loads(path.read_text())["problem"]) + "\n"


def test_a_plan_of_another_model_is_refused(
    planned_model: Path, write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.0")
    ports = ("--port", str(free_port()), "--health-port", str(free_port()))
    code = main(["serve", "--model", str(planned_model), "--plan", str(write("smollm2")), *ports])
    assert code == 2
    assert "--plan is for a model of 134,515,008 parameters" in capsys.readouterr().err


def test_a_plan_of_the_same_model_in_another_form_is_refused(
    planned_model: Path, write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.0")
    ports = ("--port", str(free_port()), "--health-port", str(free_port()))
    path = write(planned_model, "--quantization", "int8")
    assert main(["serve", "--model", str(planned_model), "--plan", str(path), *ports]) == 2
    assert f"--plan is for a model of weights in int8, {planned_model} has weights in bf16" in capsys.readouterr().err


def test_a_plan_over_several_nodes_makes_ranks_of_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = ["--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", "2"]
    main(["plan", "--model", "Qwen3-Coder-480B-A35B-Instruct", *hosts, "--json"])
    path = tmp_path / "plan.json"
    path.write_text(capsys.readouterr().out)
    settings = planned.settings(path, "vllm", None, None)
    assert settings.nodes == 2
    ranks = [planned.rank_of_node("vllm", settings.nodes, rank, "pod-0.group", 29500, 8082) for rank in (0, 1)]
    leader, follower = (
        vllm.command(EngineSpec(Path("m"), "m", 8080, 1024, "bfloat16", planned=settings.arguments, rank=rank))
        for rank in ranks
    )
    group = ["--nnodes", "2", "--node-rank", "0", "--master-addr", "pod-0.group", "--master-port", "29500"]
    assert leader[-8:] == group
    assert follower[-9:] == [*group[:3], "1", *group[4:], "--headless"]
    with pytest.raises(UsageError, match="--nodes 1\nneeded: 2, over which"):
        planned.settings(path, "vllm", None, None, nodes=1)


@pytest.mark.parametrize(
    ("nodes", "rank", "leader", "message"),
    [
        (2, None, None, "--node-rank from 0 to 1"),
        (2, 1, None, "--leader-address None"),
        (2, 2, "leader", "--node-rank 2"),
        (1, 0, None, "for a model on one node"),
    ],
)
def test_flags_that_leave_a_rank_open_are_refused(
    nodes: int, rank: int | None, leader: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        planned.rank_of_node("vllm", nodes, rank, leader, 29500, 8082)


def test_an_engine_that_has_no_ranks_on_other_nodes_is_refused_there() -> None:
    with pytest.raises(UsageError, match="--engine transformers over 2 nodes\nneeded: engine vllm"):
        planned.rank_of_node("transformers", 2, 1, "leader", 29500, 8082)
