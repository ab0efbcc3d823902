"""`qwen-runtime gate` and `history`, over results that are known."""

from __future__ import annotations

import csv
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

from tests.fakes.results import SUBJECT, bench, humaneval, written


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def gate(folder: Path, candidate: str, load: str | None = None, *arguments: str) -> int:
    baseline = humaneval(folder / "baseline.json", days_old=400)
    load = load or bench(folder / "load.json")
    results = ["--baseline", baseline, "--candidate", candidate, "--load", load]
    return main(["gate", *results, "--history", str(folder / "history.sqlite"), *arguments])


def decisions(history: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["history", "decisions", "--history", str(history)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_candidate_that_keeps_everything_is_promoted_and_logged(
    tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(tmp_path, humaneval(tmp_path / "c.json")) == 0
    assert "promoted; logged" in capsys.readouterr().out
    [decision] = decisions(history, capsys)
    assert decision.endswith("promoted")


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({"lost": 30}, "pass_at_1: found: worse: keeps 0.817"),
        ({"lost": 6}, "pass_at_1: found: undecided"),
        ({"unjudged": 20}, "12.2% of its answers without a score"),
        ({"days_old": 15}, "candidate: found: ended at"),
        ({"days_old": -2}, "candidate: found: ended at"),
        ({"subject": SUBJECT | {"model": "other"}}, "a different model"),
        (
            {"subject": SUBJECT | {"engine_version": "2"}},
            "load: found: engine_version '1'; needed: the candidate's, '2'",
        ),
    ],
)
def test_what_is_not_shown_freshly_of_the_candidate_itself_is_refused(
    candidate: dict[str, Any], message: str, tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(tmp_path, humaneval(tmp_path / "c.json", **candidate)) == 6
    assert message in capsys.readouterr().err
    assert decisions(history, capsys)[0].endswith("refused")


def test_a_missed_slo_and_failing_tool_calls_are_refused_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"schema": {"holds": 3, "fails": 2, "not_seen": 0}}
    tools = written(tmp_path / "t.json", "tools", figures=figures, failures=[])
    load = bench(tmp_path / "l.json", attainment=0.9)
    assert gate(tmp_path, humaneval(tmp_path / "c.json"), load, "--tools", tools) == 6
    refusal = capsys.readouterr().err
    assert "2 conditions that are not met" in refusal
    assert "90.0% of requests keep the SLO" in refusal
    assert "failures in {'schema': 2}" in refusal


def test_a_meant_difference_of_models_is_allowed_by_name(tmp_path: Path) -> None:
    other = {"subject": SUBJECT | {"model": "m-fp8"}}
    candidate, load = humaneval(tmp_path / "c.json", **other), bench(tmp_path / "l.json", **other)
    assert gate(tmp_path, candidate, load) == 6
    assert gate(tmp_path, candidate, load, "--across", "model") == 0


def test_an_override_is_logged_with_its_person_and_reason(
    tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = humaneval(tmp_path / "c.json", lost=30)
    assert gate(tmp_path, candidate, None, "--override", "A. Person") == 2
    assert gate(tmp_path, candidate, None, "--override", "A. Person", "--because", "the old one leaks") == 0
    logged = decisions(history, capsys)
    assert logged[0].endswith("overridden by A. Person: the old one leaks")
    assert "keeps 0.817" in logged[1]


def test_nothing_is_overridden_where_nothing_is_refused(
    tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(tmp_path, humaneval(tmp_path / "c.json"), None, "--override", "A", "--because", "b") == 0
    assert decisions(history, capsys)[0].endswith("promoted")


def test_decisions_and_results_stay(tmp_path: Path, history: Path) -> None:
    assert gate(tmp_path, humaneval(tmp_path / "c.json")) == 0
    with sqlite3.connect(history) as database:
        for statement in ("DELETE FROM decisions", "UPDATE decisions SET verdict = ''", "DELETE FROM results"):
            with pytest.raises(sqlite3.IntegrityError, match="stay"):
                database.execute(statement)
    database.close()


def test_figures_are_exported_over_time_and_a_result_is_kept_once(
    tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (humaneval(tmp_path / f"{age}.json", lost=age, days_old=age) for age in (40, 10))
    load = bench(tmp_path / "l.json")
    assert main(["history", "add", new, old, load, "--history", str(history)]) == 0
    assert main(["history", "add", new, "--history", str(history)]) == 0
    assert "0 added, 1 there already" in capsys.readouterr().out
    assert main(["history", "csv", "--history", str(history)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["value"]) for row in rows if row["name"] == "pass_at_1"] == [0.7561, 0.939]
    assert "inter_token_s_p50" not in {row["name"] for row in rows}
    output = tmp_path / "evaluation.prom"
    assert main(["history", "metrics", "--history", str(history), "--output", str(output)]) == 0
    labels = '{kind="humaneval",model="m",hardware="8 x h100-80gb",name="pass_at_1"}'
    assert f"qwen_evaluation_figure{labels} 0.939" in output.read_text()
    assert f"qwen_evaluation_ended_timestamp_seconds{labels} " in output.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history", "csv", "--history", "/nonexistent"], "no history /nonexistent"),
        (["history", "add", "/nonexistent", "--history", "h"], "/nonexistent cannot be read"),
    ],
)
def test_what_is_absent_is_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_history_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but long enough to be looked at as one")
    result = bench(tmp_path / "l.json")
    assert main(["history", "add", result, "--history", str(other)]) == 2
    assert "is no history of this version" in capsys.readouterr().err
    assert other.read_text().startswith("not a database")
