"""The command line and environment of vLLM, and the counters that are read from it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec, Progress
from qwen_runtime.errors import UsageError

from tests.fakes import no_compilers

COMPILERS = ("TORCH_COMPILE_DISABLE", "VLLM_USE_AOT_COMPILE", "VLLM_USE_FLASHINFER_SAMPLER", "VLLM_USE_DEEP_GEMM")
Host = Callable[..., dict[str, str]]
SPEC = EngineSpec(Path("/models/m"), "m", 8080, 4096, "bfloat16", extra=("--enforce-eager", "--dtype", "float32"))


def test_the_command_is_vllms_own_server_on_the_local_directory() -> None:
    command = vllm.command(SPEC)
    assert command[:5] == [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", "/models/m"]
    flags = dict(zip(command[5:-4:2], command[6:-4:2], strict=True))
    expected = {"--served-model-name": "m", "--port": "8080", "--max-model-len": "4096", "--dtype": "bfloat16"}
    assert expected.items() <= flags.items()


def test_answers_tell_how_much_of_a_prompt_was_still_known_unless_the_operator_says_no() -> None:
    refused = dataclasses.replace(SPEC, extra=("--no-enable-prompt-tokens-details",))
    assert "--enable-prompt-tokens-details" in vllm.command(SPEC)
    assert [word for word in vllm.command(refused) if "prompt-tokens" in word][-1].startswith("--no-")


def test_the_engines_own_arguments_come_last_so_that_they_win() -> None:
    assert vllm.command(SPEC)[-3:] == ["--enforce-eager", "--dtype", "float32"]


@pytest.mark.parametrize("words", [("--speculative_config", "{}"), ("--spec-method=ngram",), ("-sc", "{}")])
@pytest.mark.parametrize("place", ["planned", "extra"])
def test_drafts_are_refused_by_the_build_for_cpus_alone(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], place: str
) -> None:
    spec = dataclasses.replace(SPEC, **{place: words})
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.32.0+cpu")
    with pytest.raises(UsageError, match=r"on a CPU: .*issues/55005.*\nneeded: no drafts on a CPU\nremedy: Leave -+s"):
        vllm.command(spec)
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.32.0")
    assert set(words) <= set(vllm.command(spec))


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("config", "wanted", "override"),
    [
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, 131072, {"max_position_embeddings": 131072}),
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, 32768, None),
        ({"max_position_embeddings": 131072, "rope_scaling": YARN}, 131072, None),
        ({"max_position_embeddings": 32768, "rope_scaling": {"type": "linear", "factor": 4}}, 131072, None),
        (
            {"text_config": {"max_position_embeddings": 32768, "rope_scaling": YARN}},
            65536,
            {"text_config": {"max_position_embeddings": 131072}},
        ),
    ],
)
def test_vllm_is_told_of_a_context_that_only_yarn_reaches(
    tmp_path: Path, config: object, wanted: int, override: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = vllm.command(EngineSpec(tmp_path, "m", 8080, wanted, "bfloat16"))
    overrides = [json.loads(command[at + 1]) for at, word in enumerate(command) if word == "--hf-overrides"]
    assert overrides == ([override] if override else [])
    own = vllm.command(EngineSpec(tmp_path, "m", 8080, wanted, "bfloat16", extra=("--hf_overrides={}",)))
    assert "--hf-overrides" not in own


@pytest.fixture(params=["0.32.0", "0.32.0+cpu"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(vllm, "check_installed", lambda: request.param)
    return str(request.param)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The engine's environment on a host whose PATH has these programs and no other."""

    def environment(*programs: str, **base: str) -> dict[str, str]:
        folder = tmp_path / "-".join(("bin", *programs))
        folder.mkdir()
        for name in programs:
            (folder / name).touch(mode=0o755)
        return vllm.environment({"PATH": str(folder), "CUDA_HOME": str(tmp_path / "cuda"), **base})

    return environment


@pytest.mark.usefixtures("version")
def test_nothing_is_fetched_or_reported_unless_the_environment_says_so() -> None:
    environment = vllm.environment({"PATH": "/bin", "DO_NOT_TRACK": "0"})
    assert environment["PATH"] == "/bin"
    assert environment["DO_NOT_TRACK"] == "0"
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"


def test_what_a_host_has_no_compiler_for_is_off(host: Host, version: str) -> None:
    off = {name: value for name, value in host("gcc").items() if name in COMPILERS}
    if version.endswith("+cpu"):
        assert off == {"TORCH_COMPILE_DISABLE": "1"}
    else:
        assert off == {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}


def test_engines_in_tests_find_no_compiler_as_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.32.0+cpu")
    assert vllm.environment({"PATH": no_compilers.path()})["TORCH_COMPILE_DISABLE"] == "1"
    assert shutil.which("sh", path=no_compilers.path())


def test_with_its_compilers_vllm_is_left_as_it_is_but_for_the_graphs_that_it_cannot_read(
    host: Host, version: str
) -> None:
    off = {name: value for name, value in host("g++", "c++", "nvcc").items() if name in COMPILERS}
    assert off == ({"VLLM_USE_AOT_COMPILE": "0"} if version.endswith("+cpu") else {})


def test_a_compiler_is_the_one_that_torch_would_take(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.32.0+cpu")
    assert "TORCH_COMPILE_DISABLE" not in host("clang++", CXX="clang++")
    assert "TORCH_COMPILE_DISABLE" in host("g++", CXX="clang++")


def test_nvcc_is_looked_for_where_vllm_does(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.32.0")
    assert "VLLM_USE_DEEP_GEMM" in host("c++")
    (tmp_path / "cuda/bin").mkdir(parents=True)
    (tmp_path / "cuda/bin/nvcc").touch(mode=0o755)
    assert "VLLM_USE_DEEP_GEMM" not in host("c++", "ld")


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("name", COMPILERS)
def test_the_environment_decides_where_it_says_so(host: Host, name: str) -> None:
    assert host("gcc", **{name: "2"})[name] == "2"


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
    recorded = Path(__file__).parents[2] / "recorded/vllm_metrics.txt"
    assert vllm.read_progress(recorded.read_text()) == Progress(requests=0, tokens=164)


def test_an_engine_without_these_counters_is_not_taken_for_idle() -> None:
    assert vllm.read_progress("vllm:num_preemptions_total 0.0\n") == Progress(requests=None, tokens=None)
