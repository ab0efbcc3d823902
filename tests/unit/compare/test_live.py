"""Two endpoints that are compared while they serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving

SHORT = ["--input-tokens", "5", "--output-tokens", "4", "--warmup", "1", "--users", "2", "--own-delay-s", "60"]


def compare(folder: Path, baseline: Pace, candidate: Pace, *arguments: str) -> dict[str, Any]:
    output = folder / "comparison.json"
    with serving(baseline) as first, serving(candidate) as second:
        assert main(["compare", first, second, *SHORT, "--output", str(output), *arguments]) == 0
    document: dict[str, Any] = json.loads(output.read_bytes())
    return document


def test_both_are_asked_the_same_and_a_slower_one_is_worse(tmp_path: Path) -> None:
    baseline, candidate = Pace(first_s=0.02), Pace(first_s=0.3)
    document = compare(tmp_path, baseline, candidate, "--sessions", "24", "--slo-first-token-s", "30")
    asked = [sorted(json.dumps(body["messages"]) for body in pace.bodies) for pace in (baseline, candidate)]
    assert asked[0] == asked[1]
    assert len(baseline.bodies) == len(candidate.bodies) == 25
    verdicts = {entry["name"]: entry["verdict"] for entry in document["scores"]}
    assert verdicts["first_token_s"] == "worse"
    assert not document["promotes"]
    assert document["harm"] == {"lost": 0, "won": 0, "asked": 24, "shown": False, "evidence": 1.0}


def test_a_candidate_that_fails_is_stopped_before_all_sessions_are_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = Pace(faults=("none", *("fail",) * 500))  # the warm-up is answered
    document = compare(tmp_path, Pace(), candidate, "--sessions", "400", "--slo-first-token-s", "30", "--warmup", "0")
    assert document["harm"]["shown"]
    assert document["harm"]["asked"] < 30
    assert not document["promotes"]
    assert "stopped, since harm is shown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (["http://a/v1", "http://a/v1"], "the same endpoint, model and variant twice"),
        (["http://a/v1", "result.json"], "an endpoint and a file"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(
    arms: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arms]) == 2
    assert message in capsys.readouterr().err
