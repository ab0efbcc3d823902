"""`qwen-runtime evaluate summaries`: BLEU and ROUGE against endpoints whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main
from qwen_runtime.evaluate import problems, summaries
from qwen_runtime.evaluate.rouge import rouge

from tests.fakes.token_server import Pace, serving

ITEMS = summaries.items(problems.load())
# As the package rouge-score 0.1.2 counts them; over 486 pairs of HumanEval's texts it and this code agree too.
KNOWN = (
    ("Returns the sum of two numbers.", "Add two numbers and return their sum.", (0.461538, 0.181818, 0.307692)),
    ("The cat sat on the mat", "the mat sat on the cat", (1.0, 0.8, 0.666667)),
    ("", "Add two numbers.", (0.0, 0.0, 0.0)),
)


def measure(pace: Pace, output: Path, problems: int = 24) -> int:
    with serving(pace) as url:
        common = ["--endpoint", url, "--hardware", "none", "--output", str(output)]
        return main(["evaluate", "summaries", *common, "--problems", str(problems)])


def asked(body: dict[str, Any]) -> summaries.Item:
    [item] = [item for item in ITEMS if item.code in body["messages"][0]["content"]]
    return item


def authors_words(body: dict[str, Any]) -> str:
    return asked(body).description


def every_second_word(body: dict[str, Any]) -> str:
    return " ".join(asked(body).description.split()[::2])


@pytest.mark.parametrize(("text", "reference", "expected"), KNOWN)
def test_rouge_is_what_its_package_counts(text: str, reference: str, expected: tuple[float, ...]) -> None:
    assert tuple(rouge(text, reference).values()) == pytest.approx(expected, abs=1e-6)


def test_the_code_does_not_tell_the_description_and_the_description_no_example() -> None:
    assert len(ITEMS) == 162, "two problems have hardly a description"
    for item in ITEMS:
        assert item.description not in " ".join(item.code.split())
        assert ">>>" not in item.description


def test_the_authors_own_words_score_in_full(tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    assert measure(Pace(answer=authors_words), output) == 0
    figures = json.loads(output.read_bytes())["figures"]
    assert figures["bleu"] == pytest.approx(100)
    assert (figures["rouge_1"], figures["rouge_2"], figures["rouge_l"]) == (1, 1, 1)
    assert figures["bleu_signature"].startswith("nrefs:1|")


def test_what_is_no_description_is_counted_and_has_no_score(tmp_path: Path) -> None:
    """The stand-in ends an answer of tokens at its limit."""
    output = tmp_path / "r.json"
    assert measure(Pace(answer=authors_words, faults=("none", "fail", "empty", "too few")), output) == 0
    document = json.loads(output.read_bytes())
    assert document["figures"]["never_a_score"] == {"error": 6, "empty": 6, "length_cut": 6}
    assert document["figures"]["judged"] == 6
    assert document["figures"]["rouge_l"] == 1
    assert sum("rouge_l" in entry for entry in document["requests"]) == 6


def test_no_whole_description_at_all_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(Pace(), tmp_path / "r.json") == 4
    assert "finish_reason length" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_two_models_are_compared_description_by_description_and_kept(tmp_path: Path) -> None:
    results = [tmp_path / "a.json", tmp_path / "b.json"]
    for answer, output in zip((authors_words, every_second_word), results, strict=True):
        assert measure(Pace(answer=answer), output, problems=40) == 0
    compared = tmp_path / "c.json"
    assert main(["compare", *map(str, results), "--output", str(compared)]) == 0
    scores = {score["name"]: score for score in json.loads(compared.read_bytes())["scores"]}
    assert {name: score["verdict"] for name, score in scores.items()} == {"bleu": "worse", "rouge_l": "worse"}
    assert main(["history", "add", *map(str, results), "--history", str(tmp_path / "h.sqlite")]) == 0
    assert main(["history", "csv", "--history", str(tmp_path / "h.sqlite"), "--output", str(tmp_path / "h.csv")]) == 0
    assert ",bleu,100.0" in (tmp_path / "h.csv").read_text()
