"""`qwen-runtime top` reads series that exist, shows planned beside seen, and says what is wrong when it cannot."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main
from qwen_runtime.watch import figures, screen
from qwen_runtime.watch.figures import Figures
from rich.console import Console

from tests.support.waiting import wait_until
from tests.support.web import Quiet, served

from . import exposition

QUESTIONS = {
    **figures.OF_SITE,
    **{f"model: {name}": question for name, question in figures.OF_MODEL.items()},
    **{f"host: {name}": question for name, question in figures.OF_HOST.items()},
    **{f"GPU: {name}": question for name, question in figures.OF_GPU.items()},
    "answers": figures.ANSWERS,
    "budget": figures.BUDGET,
    "firing": figures.FIRING,
}


def known(**changes: Any) -> Figures:
    """Figures of a small site that is well."""
    host = {name: {("gpu1",): 0.5} for name in figures.OF_HOST}
    gpu = {name: {("gpu1", str(number)): 1.0 for number in (0, 1, 10)} for name in figures.OF_GPU}
    model = {name: {("model-server",): 2.0} for name in figures.OF_MODEL}
    whole = {
        "site": dict.fromkeys(figures.OF_SITE, 2.0),
        "answers": {("2xx",): 3.0},
        "budget": {("answer",): 0.25},
        "firing": {},
        "models": [("model-server", "m")],
        "of_model": model,
        "of_host": {**host, "GPUs": {("gpu1",): 8.0}, "planned": {(): 8.0}},
        "of_gpu": gpu,
    }
    return Figures(**{**whole, **changes})


def shown(known: Figures, node: str | None = None) -> str:
    text = io.StringIO()
    Console(file=text, width=140).print(screen.frame(known, node))
    return text.getvalue()


def row(text: str, beginning: str) -> list[str]:
    """Cells of the first row of a table that begins so."""
    [line, *_] = [line for line in text.splitlines() if line.strip().startswith(beginning)]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.fixture
def answering() -> Iterator[Any]:
    """Starts a stand-in for Prometheus that answers everything with this status and text; gives its address."""
    stacks = []

    def start(status: int, text: str) -> str:
        class Handler(Quiet):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        stack = served(Handler)
        stacks.append(stack)
        return f"http://127.0.0.1:{stack.__enter__()}"

    yield start
    for stack in stacks:
        stack.__exit__(None, None, None)


@exposition.PROMETHEUS
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_column_has_series_with_the_labels_of_its_rows(watched: exposition.Site, name: str) -> None:
    question = QUESTIONS[name]
    found = watched.series(question.expression)
    assert found
    assert all(set(question.by) <= labels.keys() for labels in found)


@exposition.PROMETHEUS
def test_one_screen_shows_each_model_host_and_gpu(watched: exposition.Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--prometheus", watched.address]) == 0
    text = capsys.readouterr().out
    assert row(text, "smollm2-135m-instruct-reference")[:3] == [
        "smollm2-135m-instruct-reference",
        "model-server-reference",
        "1 of 1",
    ]
    assert row(text, "smollm2-135m-instruct ")[2] == "1 of 2"
    assert row(text, "gpu1   8 of 8")
    assert [line.split()[:2] for line in text.splitlines()].count(["gpu1", "7"]) == 1


@exposition.PROMETHEUS
def test_health_is_one_line_that_names_what_fires(watched: exposition.Site, capsys: pytest.CaptureFixture[str]) -> None:
    def line() -> str:
        assert main(["top", "--line", "--prometheus", watched.address]) == 0
        [said] = capsys.readouterr().out.splitlines()
        return said

    # On a busy machine Prometheus misses an answer now and then, and for that second other alerts fire.
    wait_until(lambda: "ReplicasMissing" in line(), "the name of an alert that fires")
    assert line().startswith("not well: 2 of 3 replicas, 1 of 2 gateways, 8 GPUs")
    assert "Watchdog" not in line()


def test_a_site_is_well_only_with_all_that_is_planned_and_without_alerts() -> None:
    assert figures.health(known()) == "well: 2 of 2 replicas, 2 of 2 gateways, 2 GPUs, 3.0 answers/s, no alert"
    assert figures.health(known(firing={("GpuLost",): 1.0})).startswith("not well")
    site = {**known().site, "replicas": 1.0}
    assert figures.health(known(site=site)).startswith("not well: 1 of 2 replicas")


def test_gpus_stand_in_the_order_of_their_numbers_and_of_one_host_where_asked() -> None:
    assert [number for _, number in known().gpus] == ["0", "1", "10"]
    both = {name: {**column, ("gpu2", "0"): 2.0} for name, column in known().of_gpu.items()}
    assert "gpu2" not in shown(known(of_gpu=both), "gpu1")


def test_a_large_fleet_shows_hosts_and_says_how_to_see_a_gpu() -> None:
    many = {name: {(f"gpu{host}", "0"): 1.0 for host in range(64)} for name in figures.OF_GPU}
    assert "64 GPUs: --node NAME" in shown(known(of_gpu=many))


def test_what_is_not_measured_is_a_dash_and_no_zero() -> None:
    of_model = {**known().of_model, "first token": {("model-server",): float("nan")}, "errors": {}}
    cells = row(shown(known(of_model=of_model)), "m ")
    assert cells[6] == cells[8] == "–"


def test_names_of_others_cannot_command_the_terminal() -> None:
    text = shown(known(models=[("model-server", "\x1b]0;taken\x07[red]m[/red]")], firing={("A\x1b[2J",): 1.0}))
    assert "\x1b" not in text
    assert "[red]m[/red]" in text


def test_no_server_is_told_with_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--prometheus", "http://127.0.0.1:9"]) == 4
    said = capsys.readouterr().err
    assert "no answer of Prometheus at http://127.0.0.1:9" in said
    assert "remedy:" in said


@pytest.mark.parametrize("garbage", ["<html>not here</html>", "[]", '{"status": "success"}', '{"data": {}}', "null"])
def test_another_server_is_told_as_one(answering: Any, capsys: pytest.CaptureFixture[str], garbage: str) -> None:
    assert main(["top", "--once", "--prometheus", answering(200, garbage)]) == 4
    assert "Prometheus' HTTP API there" in capsys.readouterr().err


def test_a_prometheus_of_something_else_is_told_as_one(answering: Any, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})
    assert main(["top", "--line", "--prometheus", answering(200, nothing)]) == 4
    assert "the Prometheus of the stack" in capsys.readouterr().err


def test_a_login_that_is_missing_is_told_with_its_option(
    answering: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address = answering(401, "Unauthorized")
    assert main(["top", "--once", "--prometheus", address]) == 2
    assert "--login-file" in capsys.readouterr().err
    (tmp_path / "login").write_text("no colon\n")
    assert main(["top", "--once", "--prometheus", address, "--login-file", str(tmp_path / "login")]) == 2
    assert "USER:PASSWORD" in capsys.readouterr().err


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--prometheus", "prometheus:9090"]) == 2
    assert "http://HOST:PORT" in capsys.readouterr().err
