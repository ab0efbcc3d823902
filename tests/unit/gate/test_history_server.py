"""The history behind a port, what it says became worse, and its plots."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.gate.server import handler

from tests.fakes.results import SUBJECT, bench, humaneval, written
from tests.support.ports import free_port
from tests.support.web import served

LABELS = 'kind="{kind}",model="m",hardware="8 x h100-80gb",name="{name}"'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(handler(tmp_path / "h.sqlite")) as port:
        yield f"http://127.0.0.1:{port}"


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def samples(url: str) -> dict[str, float]:
    lines = (line for line in read(f"{url}/metrics").splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_results_are_sent_to_it_and_scraped_from_it(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = samples(server)
    assert list(begun) == ["qwen_evaluation_newest_timestamp_seconds"], "an age without a result, too"
    files = [humaneval(tmp_path / "new.json", lost=41), humaneval(tmp_path / "old.json", days_old=30)]
    assert main(["history", "add", *files, "--history", server]) == 0
    assert "2 sent" in capsys.readouterr().out
    found = samples(server)
    labels = LABELS.format(kind="humaneval", name="pass_at_1")
    assert found[f"qwen_evaluation_figure{{{labels}}}"] == 0.75
    assert found[f'qwen_evaluation_worse_ratio{{{labels},of="answers"}}'] == 0.25
    newest = found["qwen_evaluation_newest_timestamp_seconds"]
    assert newest == found[f"qwen_evaluation_ended_timestamp_seconds{{{labels}}}"]
    assert [line.split(",")[5] for line in read(f"{server}/history.csv").splitlines()].count("pass_at_1") == 2


def test_what_is_no_result_is_refused_and_leaves_nothing(server: str, tmp_path: Path) -> None:
    for body in (b"{}", b"no json"):
        request = urllib.request.Request(f"{server}/results", data=body, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value as answer:
            assert answer.code == 400
            assert b"needed" in answer.read()
    assert len(samples(server)) == 1


def test_a_server_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["history", "add", humaneval(tmp_path / "r.json"), "--history", url]) == 4
    assert f"{url} does not answer" in capsys.readouterr().err


def worse(folder: Path, capsys: pytest.CaptureFixture[str], *results: str) -> dict[str, float]:
    history = ["--history", str(folder / "h.sqlite")]
    assert main(["history", "add", *results, *history]) == 0
    capsys.readouterr()
    assert main(["history", "metrics", *history]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("qwen_evaluation_worse_ratio")]
    return {line.split('name="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_a_figure_is_compared_with_the_median_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = (0, 0, 41, 41)  # one bad month is no new normal
    files = [humaneval(tmp_path / f"{n}.json", lost=each, days_old=100 - n) for n, each in enumerate(lost)]
    assert worse(tmp_path, capsys, *files) == {"pass_at_1": 0.25}


def test_a_better_figure_and_other_hardware_are_no_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = humaneval(tmp_path / "o.json", lost=41, days_old=9), humaneval(tmp_path / "n.json")
    other = humaneval(tmp_path / "x.json", lost=150, subject=SUBJECT | {"hardware": "cpu"})
    assert worse(tmp_path, capsys, old, new, other) == {"pass_at_1": 0.0}


def test_slower_answers_and_more_failing_tool_calls_are_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [bench(tmp_path / "o.json", attainment=1.0, days_old=9), bench(tmp_path / "n.json", attainment=0.8)]
    for name, fails, age in (("o", 0, 9), ("n", 1, 0)):
        figures = {"schema": {"holds": 3, "fails": fails, "not_seen": 0}}
        files.append(written(tmp_path / f"t{name}.json", "tools", age, figures=figures, failures=[]))
    found = worse(tmp_path, capsys, *files)
    assert found["slo_attainment"] == pytest.approx(0.2)
    assert found["schema_fails"] == 1
    assert found["first_token_from_schedule_s_p50"] == 0
    assert "first_token_from_schedule_s_p99" not in found


def test_the_history_is_drawn(tmp_path: Path) -> None:
    files = [humaneval(tmp_path / f"{age}.json", lost=age, days_old=age) for age in (40, 10)]
    history, page = ["--history", str(tmp_path / "h.sqlite")], tmp_path / "history.html"
    assert main(["history", "add", *files, *history]) == 0
    assert main(["history", "plot", *history, "--output", str(page)]) == 0
    assert page.read_text().count("<svg") == 4
    assert "humaneval: pass_at_1" in page.read_text()
