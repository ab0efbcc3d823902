"""An engine in the runtime package's registry can be configured; the stack's program has no list of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine import registry
from qwen_runtime.engine.record import Engine

from qwen_stack import config
from qwen_stack.specs import model_server
from qwen_stack.specs.alerts import engine_rules
from tests.fakes import planned_sites, toy_engine
from tests.pulumi.planned_stacks import Values, stack_of


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    record = Engine(toy_engine.PLANNED, server=toy_engine, exported=toy_engine.EXPORTED)
    monkeypatch.setitem(registry.ENGINES, toy_engine.NAME, record)
    return toy_engine.NAME


def test_a_plan_for_an_engine_of_the_registry_becomes_a_pod(toy: str, example: Values, tmp_path: Path) -> None:
    plan = next(planned_sites.fitting(toy, "h100-80gb"))
    [model] = config.parse(stack_of(example, plan, tmp_path / "plan.json")).models
    container: dict[str, Any] = model_server.container(model, "image")
    argv = container["args"]
    assert argv[argv.index("--engine") + 1] == toy
    assert int(container["resources"]["limits"]["nvidia.com/gpu"]) == plan.best.layout.gpus_per_replica


def test_arguments_that_the_engine_sets_itself_are_refused(toy: str, example: Values, tmp_path: Path) -> None:
    values = stack_of(example, next(planned_sites.fitting(toy, "h100-80gb")), tmp_path / "plan.json")
    values["models"][0]["extraArgs"] = ["--name=other"]
    with pytest.raises(config.ConfigError, match="none of --name, --port"):
        config.parse(values)


@pytest.mark.usefixtures("toy")
def test_its_metrics_are_recorded_under_the_names_of_every_engine() -> None:
    recorded = {rule["record"]: rule["expr"] for rule in engine_rules.recording_rules() if "toy" in rule["expr"]}
    assert recorded["serving:requests_running:requests"] == "sum without (engine) (toy_busy)"
    assert "toy_done_total" in recorded["serving:finished:total"]
