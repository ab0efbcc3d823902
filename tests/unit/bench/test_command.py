"""`qwen-runtime bench` as a person uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.errors import HostError
from qwen_runtime.extras import require

from tests.fakes.token_server import Pace, serving

PATIENT = ["--own-delay-s", "30"]
SHORT = ["--sessions", "6", "--warmup", "2", "--input-tokens", "5", "--output-tokens", "4"]


@pytest.fixture
def endpoint() -> Iterator[str]:
    with serving(Pace()) as url:
        yield url


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    model = "Qwen3-Coder-480B-A35B-Instruct-FP8"
    assert main(["plan", "--model", model, "--gpu", "h100-80gb", "--gpus-per-node", "8", "--json"]) == 0
    path = tmp_path / "plan.json"
    path.write_text(capsys.readouterr().out)
    return path


def test_expectation_measurement_and_the_guides_target_stand_side_by_side(
    endpoint: str, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "bench.json"
    arguments = ["--endpoint", endpoint, "--users", "2", "--plan", str(plan), "--output", str(output)]
    assert main(["bench", *arguments, *SHORT, *PATIENT]) == 0
    shown = capsys.readouterr().out
    assert "planner    measured       guide" in shown
    assert shown.splitlines()[1].split()[-1] == "500.0"
    document = json.loads(output.read_bytes())
    [at_two] = [row for row in json.loads(plan.read_bytes())["predicted"] if row["concurrency"] == 2]
    assert document["expected"]["ttft_s"] == at_two["ttft_s"], "the plan's prediction for two requests in flight"
    assert document["figures"]["outcomes"]["answered"] == 6
    assert document["figures"]["output_tokens"] == 24
    assert document["figures"]["output_tokens_per_s_per_gpu"] == pytest.approx(
        document["figures"]["output_tokens_per_s"] / 8, abs=0.01
    )
    assert document["warmup"]["requests"] == 2
    assert document["subject"]["hardware"] == "1 x 8 x h100-80gb"
    assert document["subject"]["engine_version"] == "0.0-fake"
    assert document["load"]["seed"] == 0
    assert {entry["item"] for entry in document["requests"]} == {f"s{number}.0" for number in range(6)}


def test_a_temperature_is_asked_of_every_request_and_told_in_the_load(tmp_path: Path) -> None:
    output, pace = tmp_path / "bench.json", Pace()
    with serving(pace) as url:
        arguments = ["--endpoint", url, "--users", "2", "--hardware", "none", "--output", str(output)]
        assert main(["bench", *arguments, *SHORT, *PATIENT, "--temperature", "0", "--ignore-eos"]) == 0
    assert [(body["temperature"], body["ignore_eos"]) for body in pace.bodies] == [(0, True)] * 8
    load = json.loads(output.read_bytes())["load"]
    assert (load["temperature"], load["ignore_eos"]) == (0, True)


def test_an_open_loop_follows_its_schedule(endpoint: str, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    arguments = ["--endpoint", endpoint, "--rate", "50", "--hardware", "cpu", "--output", str(output)]
    assert main(["bench", *arguments, *SHORT, *PATIENT, "--load", "completion", "--arrivals", "gamma"]) == 0
    load = json.loads(output.read_bytes())["load"]
    assert (load["loop"], load["arrivals"], load["shape"], load["rate_per_s"]) == ("open", "gamma", 0.5, 50.0)


def test_a_late_client_leaves_no_result(endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--endpoint", endpoint, "--users", "1", "--hardware", "cpu", "--output", str(tmp_path / "bench.json")]
    assert main(["bench", *arguments, *SHORT, "--own-delay-s", "0.000001"]) == 4
    assert "a client that was late itself" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_answer_at_all_leaves_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Pace(faults=("fail",))) as url:
        arguments = ["--endpoint", url, "--users", "1", "--hardware", "cpu", "--output", str(tmp_path / "bench.json")]
        assert main(["bench", *arguments, *SHORT, *PATIENT]) == 4
    assert "no answer to 6 requests: 6 failed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_saturation_is_found_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "found.json"
    arguments = ["--rate", "40", "--hardware", "cpu", "--output", str(output), "--find-saturation", "--step-s", "0.5"]
    with serving(Pace(first_s=0.05, slots=1)) as url:
        assert main(["bench", "--endpoint", url, *arguments, *SHORT, *PATIENT, "--slo-first-token-s", "0.2"]) == 0
    found = json.loads(output.read_bytes())
    assert found["limited_by"] == "endpoint"
    assert found["kind"] == "saturation"
    assert "keep the SLO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--users", "1"], "neither --plan nor --hardware"),
        (["--users", "1", "--hardware", "cpu", "--find-saturation"], "--find-saturation with --users"),
        (["--users", "1", "--hardware", "cpu", "--attainment", "95"], "--attainment 95"),
        (["--users", "1", "--hardware", "cpu", "--model", "other"], "one of: fake"),
        (["--users", "1", "--hardware", "cpu", "--output", "/nonexistent/x"], "--output /nonexistent/x"),
        (["--users", "1", "--hardware", "cpu", "--endpoint", "127.0.0.1:1"], "http://HOST:PORT/v1"),
    ],
)
def test_a_wrong_command_is_refused_by_its_option(
    arguments: list[str], message: str, endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--endpoint", endpoint, "--output", str(tmp_path / "x"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_absent_package_is_named_with_the_extra_that_has_it() -> None:
    with pytest.raises(HostError, match=r"without no_such_module(?s:.*)qwen-runtime\[evaluation\]"):
        require("evaluation", "json", "no_such_module")


def test_edits_are_of_real_code_each_question_another_one(tmp_path: Path) -> None:
    pace = Pace()
    with serving(pace) as url:
        arguments = ["--endpoint", url, "--users", "2", "--hardware", "none", "--output", str(tmp_path / "bench.json")]
        edits = ["--load", "edit", "--sessions", "12", "--warmup", "4", "--scale", "0.01"]
        assert main(["bench", *arguments, *edits, *PATIENT]) == 0
    questions = [body["messages"][0]["content"] for body in pace.bodies]
    assert len(set(questions)) == 16, "nothing of the warm-up is asked again"
    assert all("def " in question and "return" in question for question in questions)


def test_a_load_with_lengths_of_its_own_takes_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--users", "2", "--hardware", "none", "--output", str(tmp_path / "bench.json")]
    assert main(["bench", *arguments, "--load", "edit", "--output-tokens", "5"]) == 2
    assert "a load that has its own lengths" in capsys.readouterr().err
