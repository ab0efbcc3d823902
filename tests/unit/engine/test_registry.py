"""An engine in the registry is planned for and served; no other module has to know it."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.engine import registry
from qwen_runtime.engine.record import Engine

from tests.fakes import toy_engine
from tests.support.client import get
from tests.support.ports import free_port
from tests.support.processes import SOURCE
from tests.support.waiting import wait_until

REPO = SOURCE.parents[1]
ELSEWHERE = [
    path
    for folder in (SOURCE / "qwen_runtime", REPO / "pulumi/qwen_stack")
    for path in sorted(folder.rglob("*.py"))
    if SOURCE / "qwen_runtime/engine" not in path.parents
]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    record = Engine(toy_engine.PLANNED, server=toy_engine, exported=toy_engine.EXPORTED)
    monkeypatch.setitem(registry.ENGINES, toy_engine.NAME, record)
    return toy_engine.NAME


def plan_for(engine: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    hosts = ["--gpu", "h100-80gb", "--gpus-per-node", "8"]
    main(["plan", "--model", "Qwen2.5-Coder-7B-Instruct", *hosts, "--engine", engine, "--json"])
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def test_an_engine_of_the_registry_is_planned_for(toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = plan_for(toy, capsys)
    assert document["choices"]["engine"] == {"value": toy, "reason": "asked for by a test"}  # type: ignore[index]
    assert "a toy answers no question" in document["warnings"]  # type: ignore[operator]
    assert document["environment"] == {"TOY_COLOUR": "red"}
    gpus = document["layout"]["gpus_per_replica"]  # type: ignore[index]
    assert document["launch"][toy] == ["--parts", str(gpus)]  # type: ignore[index]


@pytest.mark.usefixtures("toy")
def test_a_plan_for_one_engine_starts_the_others_too(capsys: pytest.CaptureFixture[str]) -> None:
    document = plan_for("vllm", capsys)
    assert {"vllm", "toy"} <= set(document["launch"])  # type: ignore[call-overload]


def test_an_engine_of_the_registry_is_served(tmp_path: Path, model_dir: Path) -> None:
    port, health_port = free_port(), free_port()
    environment = {**os.environ, "PYTHONPATH": f"{REPO}:{SOURCE}"}
    command = [sys.executable, "-m", "tests.fakes.toy_engine", "serve", "--engine", "toy", "--model", str(model_dir)]
    command += ["--port", str(port), "--health-port", str(health_port), "--settle-seconds", "1", "--", "--parts", "3"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=REPO, stdout=log, stderr=log)
        try:
            wait_until(lambda: is_ready(health_port) or server.poll() is not None, "ready")
            assert server.poll() is None, (tmp_path / "log").read_text()
            argv = json.loads(get(port, "/argv")[1])
            assert argv[-2:] == ["--parts", "3"]
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, (tmp_path / "log").read_text()
        finally:
            server.kill()
            server.wait()


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(REPO)))
def test_no_module_outside_the_engines_names_one(path: Path) -> None:
    """A module that compares names has to be found and changed for each new engine."""
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert not texts & registry.ENGINES.keys()


def is_ready(health_port: int) -> bool:
    try:
        return get(health_port, "/health/ready")[0] == 200
    except OSError:
        return False
