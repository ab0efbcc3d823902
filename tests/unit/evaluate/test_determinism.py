"""`qwen-runtime evaluate determinism` against endpoints that repeat themselves, or do not."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving


def measure(pace: Pace, output: Path, *arguments: str) -> int:
    with serving(pace) as url:
        common = ["--endpoint", url, "--hardware", "none", "--output", str(output)]
        return main(["evaluate", "determinism", *common, "--problems", "4", "--rounds", "3", *arguments])


def figures(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(output.read_bytes())
    return document["figures"]  # type: ignore[no-any-return]


def test_an_endpoint_that_repeats_itself_has_one_answer_to_every_question(tmp_path: Path) -> None:
    pace = Pace(answer=lambda body: f"to {body['messages'][-1]['content']}")
    assert measure(pace, tmp_path / "r.json") == 0
    assert figures(tmp_path / "r.json")["identical_share"] == 1
    assert {body["temperature"] for body in pace.bodies} == {0}
    assert len(pace.bodies) == 12


def test_an_answer_that_differs_in_one_round_is_seen_with_the_place_where_it_differs(tmp_path: Path) -> None:
    numbers = itertools.count()
    pace = Pace(answer=lambda _: "the same but" if next(numbers) == 5 else "the same")
    assert measure(pace, tmp_path / "r.json", "--users", "1") == 0
    found = figures(tmp_path / "r.json")
    assert (found["identical_share"], found["most_distinct"]) == (0.75, 2)
    assert found["median_same_characters"] == len("the same")


def test_questions_that_were_not_answered_twice_are_counted_apart(tmp_path: Path) -> None:
    numbers = itertools.count()
    faults = tuple("fail" if next(numbers) % 4 == 0 else "none" for _ in range(12))
    assert measure(Pace(answer=lambda _: "a", faults=faults), tmp_path / "r.json", "--users", "1") == 0
    found = figures(tmp_path / "r.json")
    assert (found["questions"], found["unanswered"]) == (3, 1)


def test_no_answers_or_one_round_leave_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(Pace(faults=("fail",)), tmp_path / "r.json") == 4
    assert measure(Pace(), tmp_path / "r.json", "--rounds", "1") == 2
    assert "--rounds 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
