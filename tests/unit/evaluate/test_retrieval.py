"""`qwen-runtime evaluate retrieval` against endpoints that read their whole context, or not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving


def measure(pace: Pace, output: Path, *arguments: str) -> int:
    with serving(pace) as url:
        common = ["--endpoint", url, "--hardware", "none", "--output", str(output)]
        return main(["evaluate", "retrieval", *common, "--lengths", "200", "2000", "--depths", "5", *arguments])


def looked_up(prompt: str) -> str:
    [name] = re.findall(r"value of (setting_\d+)", prompt)
    [value] = re.findall(rf"^{name} = (\d+)$", prompt, re.MULTILINE)
    return str(value)


def reader(body: dict[str, Any]) -> str:
    return f"The value is {int(looked_up(body['messages'][0]['content']))}."


def forgetful(body: dict[str, Any]) -> str:
    """The answer of a model that sees the last two thirds of its context alone."""
    prompt = body["messages"][0]["content"]
    value = looked_up(prompt)
    return value if value in prompt[len(prompt) // 3 :] else "42"


def test_a_model_that_reads_everything_finds_everything(tmp_path: Path) -> None:
    pace, output = Pace(answer=reader), tmp_path / "r.json"
    assert measure(pace, output) == 0
    figures = json.loads(output.read_bytes())["figures"]
    assert (figures["found_share"], figures["items"]) == (1, 10)
    assert {body["temperature"] for body in pace.bodies} == {0}


def test_what_was_missed_is_told_by_its_depth(tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    assert measure(Pace(answer=forgetful), output) == 0
    entries = json.loads(output.read_bytes())["requests"]
    assert {entry["depth"] for entry in entries if entry["score"] == 0} == {0, 0.25}
    assert {entry["depth"] for entry in entries if entry["score"] == 1} >= {0.75, 1}


def test_the_same_seed_asks_the_same_and_lengths_differ(tmp_path: Path) -> None:
    asked = []
    for seed in ("0", "0", "1"):
        pace = Pace(answer=reader)
        assert measure(pace, tmp_path / "r.json", "--seed", seed) == 0
        asked.append({body["messages"][0]["content"] for body in pace.bodies})
    assert asked[0] == asked[1]
    assert not asked[0] & asked[2]
    assert max(map(len, asked[0])) > 5 * min(map(len, asked[0]))


def test_a_context_that_is_too_long_is_no_answer_and_no_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "r.json"
    assert measure(Pace(answer=reader, faults=("none", "refuse")), output) == 0
    figures = json.loads(output.read_bytes())["figures"]
    assert (figures["unanswered"], figures["found_share"]) == (5, 1)
    assert measure(Pace(faults=("refuse",)), tmp_path / "none.json") == 4
    assert "Lower --lengths" in capsys.readouterr().err


def test_two_models_are_compared_and_kept_in_the_history(tmp_path: Path) -> None:
    results = [tmp_path / "a.json", tmp_path / "b.json"]
    for answer, output in zip((reader, forgetful), results, strict=True):
        assert measure(Pace(answer=answer), output, "--depths", "40") == 0
    compared, history = tmp_path / "c.json", ["--history", str(tmp_path / "h.sqlite")]
    assert main(["compare", *map(str, results), "--output", str(compared)]) == 0
    [score] = json.loads(compared.read_bytes())["scores"]
    assert (score["name"], score["pairs"], score["verdict"]) == ("found", 80, "worse")
    assert main(["history", "add", str(results[0]), *history]) == 0
    assert main(["history", "csv", *history, "--output", str(tmp_path / "h.csv")]) == 0
    assert ",found_at_2000,1.0" in (tmp_path / "h.csv").read_text()
