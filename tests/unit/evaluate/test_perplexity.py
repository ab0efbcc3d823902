"""`qwen-runtime evaluate perplexity` against endpoints whose probabilities are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving


def measure(pace: Pace, output: Path, problems: int = 4) -> int:
    with serving(pace) as url:
        common = ["--endpoint", url, "--hardware", "none", "--output", str(output)]
        return main(["evaluate", "perplexity", *common, "--problems", str(problems)])


def halves(text: str) -> list[float]:
    """A token for each byte but the first, each with the probability 1/2."""
    return [math.log(0.5)] * (len(text.encode()) - 1)


def test_a_model_that_halves_each_byte_has_perplexity_2(tmp_path: Path) -> None:
    pace, output = Pace(logprobs=halves), tmp_path / "r.json"
    assert measure(pace, output) == 0
    figures = json.loads(output.read_bytes())["figures"]
    assert figures["perplexity"] == 2
    assert figures["bits_per_byte"] == pytest.approx(1, abs=0.01)
    assert figures["tokens"] == sum(len(body["prompt"].encode()) - 1 for body in pace.bodies)
    assert all("return" in body["prompt"] for body in pace.bodies), "solutions belong to the text"


def test_a_text_that_was_refused_is_counted_and_left_out(tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    assert measure(Pace(logprobs=halves, faults=("none", "fail")), output) == 0
    document = json.loads(output.read_bytes())
    assert (document["figures"]["texts"], document["figures"]["failed"]) == (2, 2)
    assert document["figures"]["perplexity"] == 2


def test_an_endpoint_without_logprobs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(Pace(), tmp_path / "r.json") == 4
    assert "an endpoint that tells prompt_logprobs" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_two_models_are_compared_text_by_text(tmp_path: Path) -> None:
    def quarters(text: str) -> list[float]:
        return [2 * each for each in halves(text)]

    results = [tmp_path / "a.json", tmp_path / "b.json"]
    for pace, output in zip((Pace(logprobs=halves), Pace(logprobs=quarters)), results, strict=True):
        assert measure(pace, output, problems=24) == 0
    compared, report = tmp_path / "c.json", tmp_path / "c.html"
    assert main(["compare", *map(str, results), "--output", str(compared), "--report", str(report)]) == 0
    [score] = json.loads(compared.read_bytes())["scores"]
    assert (score["name"], score["pairs"], score["verdict"]) == ("bits_per_byte", 24, "worse")
    assert score["kept"] == pytest.approx(0.5)
    assert main(["history", "add", *map(str, results), "--history", str(tmp_path / "h.sqlite")]) == 0


def test_models_that_would_go_on_alike_agree_and_others_do_not(tmp_path: Path) -> None:
    """The likeliest token is counted, not the text's own: another one costs no perplexity."""
    results = {name: tmp_path / f"{name}.json" for name in ("7", "7 again", "8")}
    for name, output in results.items():
        assert measure(Pace(logprobs=halves, likeliest=name[0]), output, problems=24) == 0
        assert json.loads(output.read_bytes())["figures"]["perplexity"] == 2
    compared, report = tmp_path / "c.json", tmp_path / "c.html"
    for candidate, share in (("7 again", 1), ("8", 0)):
        arms = [str(results["7"]), str(results[candidate])]
        assert main(["compare", *arms, "--output", str(compared), "--report", str(report)]) == 0
        agreement = json.loads(compared.read_bytes())["agreement"]
        assert (agreement["texts"], agreement["share"], agreement["interval"]) == (24, share, [share, share])
        assert f"the same likeliest token in {share:.2%}" in report.read_text()
