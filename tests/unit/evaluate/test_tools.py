"""`qwen-runtime evaluate tools` against endpoints that conform, or fail in one known way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from qwen_runtime.cli import main
from qwen_runtime.evaluate.tools import checks
from qwen_runtime.evaluate.tools.answers import Answer, Call
from qwen_runtime.evaluate.tools.cases import CASES, Case
from qwen_runtime.evaluate.tools.suite import CHECKS

from tests.fakes import tool_endpoint
from tests.fakes.token_server import Pace
from tests.fakes.token_server import serving as serving_text

FAULTS = [(check, fault) for check, faults in tool_endpoint.WRONG.items() for fault in faults]


def evaluate(url: str, output: Path) -> int:
    return main(["evaluate", "tools", "--endpoint", url, "--hardware", "none", "--output", str(output)])


def result(fault: str, folder: Path) -> dict[str, Any]:
    with tool_endpoint.serving(fault) as url:
        assert evaluate(url, folder / "tools.json") == 0
    document: dict[str, Any] = json.loads((folder / "tools.json").read_bytes())
    return document


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_right_arguments_of_each_case_fit_its_schema_and_text_alone_does_not_fit_all(case: Case) -> None:
    jsonschema.validate(case.right, case.parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**case.right, "unknown": 1}, case.parameters)


def test_an_endpoint_that_conforms_has_no_failure_in_any_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = result("none", tmp_path)["figures"]
    assert {check: figures[check]["fails"] for check in CHECKS} == dict.fromkeys(CHECKS, 0)
    assert all(figures[check]["holds"] for check in CHECKS)
    assert "0 failures" in capsys.readouterr().out


@pytest.mark.parametrize(("check", "fault"), FAULTS)
def test_each_fault_fails_the_check_that_is_about_it(check: str, fault: str, tmp_path: Path) -> None:
    document = result(fault, tmp_path)
    assert document["figures"][check]["fails"] > 0
    assert any(failure["check"] == check and failure["detail"] for failure in document["failures"])


def test_a_model_that_makes_no_call_under_auto_is_no_failure_of_the_endpoint(tmp_path: Path) -> None:
    figures = result("never calls", tmp_path)["figures"]
    assert figures["schema"]["fails"] == 0
    assert figures["schema"]["not_seen"] > 0


@pytest.mark.parametrize(
    ("fault", "auto", "named"),
    [
        ("none", {"valid": 18}, {"valid": 18}),
        ("never calls", {"no_call": 18}, {"no_call": 18}),
        ("text for numbers", {"valid": 10, "wrong": 8}, {"valid": 10, "wrong": 8}),
        ("another tool", {"wrong": 18}, {"wrong": 18}),
    ],
)
def test_calls_are_counted_by_tool_choice(
    fault: str, auto: dict[str, int], named: dict[str, int], tmp_path: Path
) -> None:
    calls = {form: {word: n for word, n in of.items() if n} for form, of in result(fault, tmp_path)["calls"].items()}
    assert calls == {"auto": auto, "named": named, "required": auto}


def test_a_model_that_calls_no_tool_by_itself_is_counted_and_fails_no_check_of_the_endpoint(tmp_path: Path) -> None:
    document = result("calls only where it must", tmp_path)
    assert document["calls"]["auto"]["no_call"] == 18
    assert document["failures"] == []


def test_a_call_that_its_length_cut_is_neither_wrong_nor_unlike_its_stream() -> None:
    case = CASES[0]
    whole = Answer(200, [Call(case.name, "{}", "call_1")], finish_reason="length")
    streamed = Answer(200, [Call(case.name, '{"pa', "call_1")], finish_reason="length")
    found = [*checks.same(case.name, whole, streamed), *checks.schema(case, whole, CASES)]
    assert [finding.holds for finding in found] == [None, None]


def test_an_endpoint_that_takes_no_tools_leaves_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving_text(Pace(faults=("refuse",))) as url:
        assert evaluate(url, tmp_path / "tools.json") == 4
    assert "nothing that holds" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
