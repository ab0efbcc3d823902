"""Entries of the gateway that share a name, measured one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving

SHORT = ["--input-tokens", "5", "--output-tokens", "4", "--warmup", "0", "--users", "2", "--own-delay-s", "60"]


def test_a_result_names_the_variant_that_answered(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    with serving(Pace(variants=("current", "next"))) as url:
        command = ["bench", "--endpoint", url, "--variant", "next", "--hardware", "none", "--sessions", "2", *SHORT]
        assert main([*command, "--output", str(output)]) == 0
    assert json.loads(output.read_bytes())["subject"]["variant"] == "next"


@pytest.mark.parametrize("variants", [(), ("current",)])
def test_a_variant_that_does_not_answer_is_refused_before_anything_is_measured(
    variants: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = Pace(variants=variants)
    with serving(pace) as url:
        command = ["bench", "--endpoint", url, "--variant", "next", "--hardware", "none", "--sessions", "9", *SHORT]
        assert main([*command, "--output", str(tmp_path / "bench.json")]) == 2
    assert "an answer of 'next'" in capsys.readouterr().err
    assert len(pace.bodies) == 1


def test_two_variants_of_one_name_are_compared_while_they_serve(tmp_path: Path) -> None:
    output = tmp_path / "comparison.json"
    pace = Pace(variants=("current", "next"))
    with serving(pace) as url:
        arms = ["--baseline-variant", "current", "--candidate-variant", "next"]
        assert main(["compare", url, url, *arms, *SHORT, "--sessions", "4", "--output", str(output)]) == 0
    document = json.loads(output.read_bytes())
    assert [document[arm]["subject"]["variant"] for arm in ("baseline", "candidate")] == ["current", "next"]
