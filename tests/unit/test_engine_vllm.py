"""What vLLM is started with, and what is read from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec, Progress

SPEC = EngineSpec(Path("/models/m"), "m", 8080, 4096, "bfloat16", extra=("--enforce-eager", "--dtype", "float32"))


def test_the_command_is_vllms_own_server_on_the_local_directory() -> None:
    command = vllm.command(SPEC)
    assert command[:5] == [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", "/models/m"]
    flags = dict(zip(command[5:-3:2], command[6:-3:2], strict=True))
    expected = {"--served-model-name": "m", "--port": "8080", "--max-model-len": "4096", "--dtype": "bfloat16"}
    assert expected.items() <= flags.items()


def test_the_engines_own_arguments_come_last_so_that_they_win() -> None:
    assert vllm.command(SPEC)[-3:] == ["--enforce-eager", "--dtype", "float32"]


@pytest.fixture(params=["0.32.0", "0.32.0+cpu"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(vllm, "check_installed", lambda: request.param)
    return str(request.param)


@pytest.mark.usefixtures("version")
def test_nothing_is_fetched_or_reported_unless_the_environment_says_so() -> None:
    environment = vllm.environment({"PATH": "/bin", "DO_NOT_TRACK": "0"})
    assert environment["PATH"] == "/bin"
    assert environment["DO_NOT_TRACK"] == "0"
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"


def test_only_the_build_for_cpus_leaves_its_graphs_to_torchs_cache(version: str) -> None:
    found = vllm.environment({}).get("VLLM_USE_AOT_COMPILE")
    assert found == ("0" if version.endswith("+cpu") else None)
    assert vllm.environment({"VLLM_USE_AOT_COMPILE": "1"})["VLLM_USE_AOT_COMPILE"] == "1"


def test_requests_and_tokens_are_those_of_every_engine_core() -> None:
    metrics = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 4.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 30.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 100.0
vllm:iteration_tokens_total_sum{engine="1",model_name="m"} 11.0
"""
    assert vllm.read_progress(metrics) == Progress(requests=7, tokens=111)


def test_progress_is_read_from_what_the_pinned_version_writes() -> None:
    recorded = Path(__file__).parents[1] / "recorded/vllm_metrics.txt"
    assert vllm.read_progress(recorded.read_text()) == Progress(requests=0, tokens=153)


def test_an_engine_without_these_counters_is_not_taken_for_idle() -> None:
    assert vllm.read_progress("vllm:num_preemptions_total 0.0\n") == Progress(requests=None, tokens=None)
