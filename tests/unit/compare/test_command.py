"""`qwen-runtime compare` as a person uses it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

RESULT: dict[str, Any] = {
    "format": 1,
    "kind": "bench",
    "started": "2026-11-30T10:00:00+00:00",
    "ended": "2026-11-30T10:05:00+00:00",
    "harness": {"qwen_runtime": "0.1.0", "cores": 2},
    "subject": {"endpoint": "http://a/v1", "model": "m", "hardware": "8 x h100-80gb", "engine_version": "1"},
    "load": {"name": "chat", "seed": 0},
}


def result(path: Path, *, slower: float = 1.0, bad: int = 0, items: int = 40, **changes: object) -> str:
    document = copy.deepcopy(RESULT)
    document["subject"] |= {key: changes.pop(key) for key in ("model", "hardware") if key in changes}
    document |= changes
    document["requests"] = [
        {
            "item": f"s{number}.0",
            "outcome": "failed" if number < bad else "answered",
            "good": number >= bad,
            "finish_reason": "length" if number % 2 else "stop",
        }
        | ({} if number < bad else {"first_token_s": slower * (0.1 + number / 100), "end_to_end_s": slower + number})
        for number in range(items)
    ]
    path.write_text(json.dumps(document))
    return str(path)


def test_each_score_has_its_interval_and_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = result(tmp_path / "a.json")
    candidate = result(tmp_path / "b.json", slower=1.25)
    assert main(["compare", baseline, candidate, "--output", str(tmp_path / "c.json")]) == 0
    document = json.loads((tmp_path / "c.json").read_bytes())
    verdicts = {entry["name"]: entry["verdict"] for entry in document["scores"]}
    assert verdicts["first_token_s"] == "worse"
    assert verdicts["inter_token_s"] is None
    [first] = [entry for entry in document["scores"] if entry["name"] == "first_token_s"]
    assert first["kept"] == pytest.approx(0.8)
    assert not document["promotes"]
    assert "worse" in capsys.readouterr().out


def test_the_report_is_one_page_that_loads_nothing_and_shows_verdicts_and_plots(tmp_path: Path) -> None:
    arms = [result(tmp_path / "a.json"), result(tmp_path / "b.json", slower=1.25, model="<script>alert(1)</script>")]
    report = tmp_path / "report.html"
    assert main(["compare", *arms, "--across", "model", "--report", str(report)]) == 0
    page = report.read_text()
    assert "is not to be promoted" in page
    assert page.count("<svg") == 3, "the intervals, and the distributions of the two times that both results have"
    assert "<td>worse</td>" in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert main(["compare", *arms, "--across", "model", "--report", str(report)]) == 0
    assert report.read_text() == page


def test_requests_without_an_answer_are_counted_and_have_no_latency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = result(tmp_path / "a.json")
    candidate = result(tmp_path / "b.json", bad=5)
    assert main(["compare", baseline, candidate, "--output", str(tmp_path / "c.json")]) == 0
    document = json.loads((tmp_path / "c.json").read_bytes())
    assert document["candidate"]["counts"] == {"error": 5, "empty": 0, "length_cut": 20}
    by_name = {entry["name"]: entry for entry in document["scores"]}
    assert (by_name["first_token_s"]["pairs"], by_name["first_token_s"]["left_out"]) == (35, 5)
    assert by_name["first_token_s"]["kept"] == 1
    assert by_name["slo_attainment"]["candidate_mean"] == 0.875
    assert "never a score: 5 error, 0 empty, 20 length_cut" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, "a different model: 'm' and 'other'"),
        ({"hardware": "cpu"}, "a different hardware"),
        ({"load": {"name": "agent", "seed": 0}}, "a different load: name 'chat' and 'agent'"),
        ({"harness": {"qwen_runtime": "0.2.0", "cores": 2}}, "a different harness: qwen_runtime '0.1.0' and '0.2.0'"),
    ],
)
def test_results_that_differ_are_refused_unless_it_is_meant(
    changes: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [name] = changes
    arms = [result(tmp_path / "a.json"), result(tmp_path / "b.json", **changes)]
    assert main(["compare", *arms]) == 2
    refusal = capsys.readouterr().err
    assert message in refusal
    assert f"--across {name}" in refusal
    assert main(["compare", *arms, "--across", name]) == 0


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({"items": 0}, "has no item"),
        ({"kind": "saturation"}, "is not a result of this version"),
        ({"format": 2}, "is not a result of this version"),
    ],
)
def test_what_is_no_result_is_refused(
    candidate: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [result(tmp_path / "a.json"), result(tmp_path / "b.json", **candidate)]
    assert main(["compare", *arms]) == 2
    assert message in capsys.readouterr().err


def test_an_absent_file_or_a_share_above_1_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = result(tmp_path / "a.json")
    assert main(["compare", baseline, str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err
    assert main(["compare", baseline, baseline, "--keep", "95"]) == 2
    assert "--keep 95" in capsys.readouterr().err
