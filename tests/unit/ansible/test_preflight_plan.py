"""preflight reads what `qwen-runtime plan --json` really writes, and both call a GPU by the same name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .by_path import ROLES, load
from .refusals import refused

assess_plan = load("preflight/filter_plugins/preflight_plan.py").assess_plan
KNOWN: dict[str, dict[str, Any]] = yaml.safe_load((ROLES / "preflight/vars/main.yml").read_text())[
    "__preflight_known_gpus"
]
DGX_H100 = {
    "nvidia_devices": [{"id": "10de:2330", "class": "0x030200"}] * 8,
    "memory_bytes": 2 * 10**12,
    "drives_bytes": {"nvme0n1": 30 * 10**12},
}


def plan(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "qwen_runtime", "plan", *arguments, "--json"],
        env={"PYTHONPATH": str(ROLES.parents[1] / "python/src")},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def assess(document: Any, hosts: int = 2, unseen: int = 0) -> dict[str, bool]:
    found = {f"dgx{n}": DGX_H100 for n in range(1, hosts + 1)}
    others = [f"dgx{n}" for n in range(hosts + 1, hosts + unseen + 1)]
    rows = assess_plan(found, "dgx1", {"plan": document, "gpus": 8, "known_gpus": KNOWN, "unseen": others})
    return {row["name"]: row["ok"] for row in rows}


@pytest.fixture(scope="module")
def two_dgx_h100() -> Any:
    return plan(
        "--model", "Qwen3-Coder-480B-A35B-Instruct-FP8", "--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", "2"
    )


def test_a_plan_for_two_dgx_h100_passes_on_two_of_them(two_dgx_h100: Any) -> None:
    verdicts = assess(two_dgx_h100)
    assert verdicts
    assert all(verdicts.values()), verdicts


def test_the_same_plan_is_refused_on_one_of_them(two_dgx_h100: Any) -> None:
    assert [name for name, ok in assess(two_dgx_h100, hosts=1).items() if not ok] == ["plan: hosts"]


def test_the_same_plan_passes_in_a_run_for_one_of_two_hosts(two_dgx_h100: Any) -> None:
    assert all(assess(two_dgx_h100, hosts=1, unseen=1).values())


def test_gpu_hosts_outside_a_run_are_those_that_the_inventory_gives_gpus(tmp_path: Path) -> None:
    tell = {"ansible.builtin.fail": {"msg": "{{ __preflight_unseen | join(' ') }}"}}
    role = {"ansible.builtin.import_role": {"name": "preflight", "tasks_from": "preflight"}}
    others = {
        "dgx2": {"preflight_gpus": 8},
        "dgx3": {"preflight_gpus": "8"},
        "control1": {},
        "cpu1": {"preflight_gpus": 0},
    }
    assert refused(tmp_path, [role, tell], {"dgx1": {"preflight_gpus": 8}}, others) == {"dgx1": "dgx2 dgx3"}


def test_a_plan_that_does_not_fit_is_refused() -> None:
    document = plan("--model", "Qwen3-Coder-480B-A35B-Instruct", "--gpu", "h100-80gb", "--gpus-per-node", "8")
    assert assess(document) == {"plan": False}


def test_every_planned_name_is_one_of_the_planners() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "qwen_runtime", "plan", "--list-gpus"],
        env={"PYTHONPATH": str(ROLES.parents[1] / "python/src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {gpu["planned_as"] for gpu in KNOWN.values() if "planned_as" in gpu}
    assert names
    assert not [name for name in names if name not in listed]
