"""Plans as their command writes them, and stacks that use one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from qwen_runtime import plan as plan_package

from tests.support.processes import SOURCE

EXAMPLE = Path(__file__).resolve().parents[2] / "pulumi/plan.example.json"
Values = dict[str, Any]


def command(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs `qwen-runtime` with the arguments."""
    environment = {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(
        [sys.executable, "-m", "qwen_runtime", *arguments], env=environment, text=True, capture_output=True, check=False
    )


def write_plan(path: Path, model: str, nodes: int, *options: str) -> subprocess.CompletedProcess[str]:
    hosts = ["--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", str(nodes)]
    done = command(["plan", "--model", model, *hosts, *options, "--json"])
    path.write_text(done.stdout)
    return done


def with_entry(values: Values, **changes: Any) -> Values:
    """The stack with these keys in its first entry."""
    return {**values, "models": [{**values["models"][0], **changes}]}


def stack_of(example: Values, plan: plan_package.Plan, path: Path) -> Values:
    """The example with this plan; it accepts the outage that a change of a single replica is."""
    path.write_text(plan_package.dumps(plan_package.build(plan)))
    entry = {"name": plan.request.shape.name.lower(), "plan": str(path), "acceptOutage": True}
    return {**example, "models": [entry]}
