"""`qwen-runtime evaluate humaneval` against endpoints whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main
from qwen_runtime.evaluate.problems import PASSED, Problem, load
from qwen_runtime.evaluate.sandbox import Sandbox

from tests.fakes.token_server import Pace, serving

PROBLEMS = load()
# Tests that use what the prompt defines, or the function by its own name, and a part of the others.
TRIED = [*(PROBLEMS[number] for number in (32, 33, 38, 50)), *PROBLEMS[::12]]


def asked(body: dict[str, Any]) -> Problem:
    text = body.get("prompt") or body["messages"][-1]["content"]
    return next(problem for problem in PROBLEMS if problem.prompt in text)


def solve(body: dict[str, Any]) -> str:
    """The right solution, as a chat model or a base model writes it."""
    problem = asked(body)
    if "prompt" in body:
        return problem.solution
    return f"Here it is:\n\n```python\n{problem.prompt}{problem.solution}```\nIt works."


def solve_until_stopped(body: dict[str, Any]) -> str:
    """The solution without its explanation, which ends at the first of the request's stops, as engines end it."""
    text = solve(body)
    return text[: min(text.find(stop) for stop in body["stop"] if stop in text)]


def fake(body: dict[str, Any]) -> str:
    return "```python\nimport os\nprint('passed')\nos._exit(0)\n```"


def evaluate(url: str, output: Path, *arguments: str) -> int:
    return main(["evaluate", "humaneval", "--endpoint", url, "--hardware", "none", "--output", str(output), *arguments])


@pytest.mark.parametrize("problem", TRIED, ids=lambda problem: problem.name)
def test_the_published_solution_passes_and_an_empty_one_does_not(problem: Problem) -> None:
    sandbox = Sandbox(seconds=60)
    assert problem.judge(sandbox, problem.program_of_completion(problem.solution)) == PASSED
    assert problem.judge(sandbox, problem.program_of_completion("    return None\n")) != PASSED


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_right_answers_pass_in_both_styles(style: str, tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    with serving(Pace(answer=solve)) as url:
        assert evaluate(url, output, "--problems", "6", "--style", style) == 0
    document = json.loads(output.read_bytes())
    assert document["figures"]["pass_at"] == {"1": 1.0}
    assert [entry["item"] for entry in document["requests"]] == [f"HumanEval/{number}" for number in range(6)]
    assert document["subject"]["hardware"] == "none"


def test_a_chat_answer_ends_behind_its_code_and_passes_without_the_end_of_the_block(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    with serving(Pace(answer=solve_until_stopped)) as url:
        assert evaluate(url, output, "--problems", "6") == 0
    document = json.loads(output.read_bytes())
    assert document["figures"]["pass_at"] == {"1": 1.0}
    assert document["load"]["stops"] == ["\n```\n"], "results of other ends are not compared"


def test_a_program_that_prints_a_pass_and_exits_has_not_passed(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    with serving(Pace(answer=fake)) as url:
        assert evaluate(url, output, "--problems", "3") == 0
    document = json.loads(output.read_bytes())
    assert document["figures"]["pass_at"] == {"1": 0.0}
    assert document["figures"]["results"] == {"ended": 3}


def test_errors_empty_answers_and_cut_ones_are_counts_and_no_score(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    faults = ("none", "fail", "empty", "no usage")  # the last one sends tokens up to the limit: its answer is cut
    with serving(Pace(answer=solve, faults=faults)) as url:
        assert evaluate(url, output, "--problems", "8", "--users", "1", "--max-tokens", "4") == 0
    figures = json.loads(output.read_bytes())["figures"]
    assert figures["never_a_score"] == {"error": 2, "empty": 2, "length_cut": 2}
    assert figures["judged"] == 2
    assert figures["pass_at"] == {"1": 1.0}


def test_pass_at_k_is_told_for_each_k_that_the_samples_allow(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    answers = iter([solve, fake] * 10)
    with serving(Pace(answer=lambda body: next(answers)(body))) as url:
        arguments = ["--problems", "1", "--samples", "10", "--temperature", "0.8", "--users", "1"]
        assert evaluate(url, output, *arguments) == 0
    assert json.loads(output.read_bytes())["figures"]["pass_at"] == {"1": 0.5, "10": 1.0}


def test_nothing_to_judge_leaves_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Pace(faults=("fail",))) as url:
        assert evaluate(url, tmp_path / "result.json", "--problems", "2") == 4
    assert "no answer that could be judged: 2 failed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_evaluations_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, answer in (("a", solve), ("b", fake)):
        with serving(Pace(answer=answer)) as url:
            assert evaluate(url, tmp_path / f"{name}.json", "--problems", "25") == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("pass_at_1")]
    assert line.endswith("worse")


def test_samples_that_would_all_be_the_same_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("http://127.0.0.1:1/v1", tmp_path / "x", "--samples", "5") == 2
    assert "--samples above 1 at temperature 0" in capsys.readouterr().err


def test_a_result_that_was_cut_short_goes_on_where_it_ended(tmp_path: Path) -> None:
    cut, whole = tmp_path / "cut.json", tmp_path / "whole.json"
    with serving(Pace(answer=solve, faults=("none", "fail"))) as url:
        assert evaluate(url, cut, "--problems", "6", "--users", "1") == 0
    pace = Pace(answer=solve)
    with serving(pace) as url:
        assert evaluate(url, whole, "--problems", "6", "--resume", str(cut)) == 0
    before, after = (json.loads(path.read_bytes()) for path in (cut, whole))
    assert (before["figures"]["judged"], after["figures"]["judged"]) == (3, 6)
    assert len(pace.bodies) == 3, "what has an answer is not asked again"
    assert [entry["item"] for entry in after["requests"]] == [f"HumanEval/{number}" for number in range(6)]


def test_a_result_of_another_load_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Pace(answer=solve)) as url:
        assert evaluate(url, tmp_path / "a.json", "--problems", "2") == 0
        assert evaluate(url, tmp_path / "b.json", "--problems", "3", "--resume", str(tmp_path / "a.json")) == 2
    assert "Begin anew, without --resume." in capsys.readouterr().err
