"""Every plan that the planner makes for a site's GPUs is accepted, and its pods serve the planned layout."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime import plan as plan_package
from qwen_runtime.engine.registry import servers
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.serve import planned

from qwen_stack import config
from qwen_stack.specs import model_group, model_server
from tests.fakes import planned_sites

from .planned_stacks import Values, stack_of


def server_container(model: Any) -> dict[str, Any]:
    container = model_group.container(model, "image", 0) if model.nodes_per_replica > 1 else None
    return container or model_server.container(model, "image")


def serve_options(argv: list[str]) -> argparse.Namespace:
    """The pod's command, read by the parser of `qwen-runtime serve` itself."""
    from qwen_runtime.cli import build_parser

    assert "--" not in argv, "the plan has all arguments of the engine"
    return build_parser().parse_args([word.replace("$(NODE_RANK)", "0") for word in argv])


@pytest.mark.parametrize("gpu", planned_sites.NVIDIA_GPUS)
@pytest.mark.parametrize("engine", planned_sites.ENGINES)
def test_a_plan_is_accepted_and_its_pod_starts_the_planned_layout(
    example: Values, tmp_path: Path, engine: str, gpu: str
) -> None:
    path = tmp_path / "plan.json"
    plans = list(planned_sites.fitting(engine, gpu))
    assert plans
    for plan in plans:
        layout = plan.best.layout
        [model] = config.parse(stack_of(example, plan, path)).models
        container = server_container(model)
        options = serve_options(container["args"])
        settings = planned.settings(path, options.engine, options.max_model_len, options.dtype, options.nodes)
        spec = EngineSpec(Path("m"), "m", options.port, options.max_model_len, settings.dtype, settings.arguments)
        assert options.engine == engine
        assert math.prod(servers()[engine].parallel_sizes(spec)) == layout.gpus_per_replica, plan.request.command()
        assert int(container["resources"]["limits"]["nvidia.com/gpu"]) * settings.nodes == layout.gpus_per_replica
        assert model.replicas == layout.replicas


@pytest.mark.parametrize("gpu", planned_sites.OTHER_GPUS)
def test_a_plan_whose_gpus_nobody_installs_is_refused(example: Values, tmp_path: Path, gpu: str) -> None:
    plans = list(planned_sites.fitting("vllm", gpu))
    assert plans
    for plan in plans:
        with pytest.raises(config.ConfigError) as caught:
            config.parse(stack_of(example, plan, tmp_path / "plan.json"))
        assert ("models[0].plan",) in [problem.keys for problem in caught.value.problems]
        assert f"a plan for {gpu}" in str(caught.value)
        warned = [text for text in plan_package.build(plan)["warnings"] if "planned, not installed" in text]
        assert bool(warned) == (gpu == "mi300x-192gb")


def test_a_plan_for_scoring_is_not_served(example: Values, tmp_path: Path) -> None:
    plans = list(planned_sites.fitting("deepspeed", "h100-80gb"))
    assert plans
    for plan in plans:
        with pytest.raises(config.ConfigError, match="a plan for deepspeed"):
            config.parse(stack_of(example, plan, tmp_path / "plan.json"))
