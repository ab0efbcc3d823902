"""preflight reads what `qwen-runtime plan --json` really writes, and both call a GPU by the same name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_plan import assess_plan
from qwen_runtime.plan import build, parse

from tests.fakes import planned_sites

from .by_path import ROLES
from .refusals import refused

KNOWN: dict[str, dict[str, Any]] = yaml.safe_load((ROLES / "preflight/vars/main.yml").read_text())[
    "__preflight_known_gpus"
]
DGX_H100 = {
    "nvidia_devices": [{"id": "10de:2330", "class": "0x030200"}] * 8,
    "memory_bytes": 2 * 10**12,
    "drives_bytes": {"nvme0n1": 30 * 10**12},
}


def answer(path: Path, *arguments: str) -> dict[str, Any]:
    """The reader's answer for a plan that the planner writes, as the role registers it."""
    path.write_text(package("plan", *arguments, "--json").stdout)
    read = package("plan", "--json", "--read", str(path))
    return {"__preflight_plan_file": str(path), "rc": read.returncode, "stdout": read.stdout, "stderr": read.stderr}


def package(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qwen_runtime", *arguments],
        env={"PYTHONPATH": str(ROLES.parents[1] / "python/src")},
        capture_output=True,
        text=True,
        check=False,
    )


def flagship(path: Path, hosts: int) -> dict[str, Any]:
    wished = ("--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", str(hosts))
    return answer(path, "--model", "Qwen3-Coder-480B-A35B-Instruct-FP8", *wished)


def failed(answers: list[dict[str, Any]], hosts: int = 2, unseen: int = 0, **others: dict[str, Any]) -> list[str]:
    """Names of the rows that fail. `others` are hosts of another pool."""
    found = {f"dgx{n}": DGX_H100 for n in range(1, hosts + 1)}
    outside = [f"dgx{n}" for n in range(hosts + 1, hosts + unseen + 1)]
    own = [entry["__preflight_plan_file"] for entry in answers]
    files = {**dict.fromkeys([*found, *outside], own), **{name: ["another.json"] for name in others}}
    needed = {"plans": answers, "gpus": 8, "known_gpus": KNOWN, "unseen": outside, "plan_files": files}
    rows = assess_plan({**found, **others}, "dgx1", needed)
    assert rows
    return [row["name"] for row in rows if not row["ok"]]


@pytest.fixture
def two_dgx_h100(tmp_path: Path) -> dict[str, Any]:
    return flagship(tmp_path / "flagship.json", 2)


def test_a_plan_for_two_dgx_h100_passes_on_two_of_them(two_dgx_h100: dict[str, Any]) -> None:
    assert failed([two_dgx_h100]) == []


@pytest.mark.parametrize("hosts", [1, 3])
def test_the_same_plan_is_refused_on_fewer_or_more(two_dgx_h100: dict[str, Any], hosts: int) -> None:
    assert failed([two_dgx_h100], hosts) == ["plan: hosts"]


def test_the_same_plan_passes_in_a_run_for_one_of_two_hosts(two_dgx_h100: dict[str, Any]) -> None:
    assert failed([two_dgx_h100], hosts=1, unseen=1) == []


def test_hosts_of_another_pool_are_not_counted(two_dgx_h100: dict[str, Any]) -> None:
    other = {**DGX_H100, "nvidia_devices": [{"id": "10de:2335", "class": "0x030200"}] * 8}
    assert failed([two_dgx_h100], dgx3=DGX_H100, h200=other) == []
    assert failed([two_dgx_h100], hosts=1, dgx3=DGX_H100) == ["plan: hosts"]


def test_two_models_may_have_hosts_of_one_pool_each(two_dgx_h100: dict[str, Any], tmp_path: Path) -> None:
    both = [two_dgx_h100, flagship(tmp_path / "other.json", 1)]
    assert failed(both, hosts=3) == []
    assert failed(both, hosts=2) == ["plan: hosts"]


def test_two_models_may_share_each_host(tmp_path: Path) -> None:
    part = ("--gpu", "h100-80gb", "--gpus-per-node", "4", "--nodes", "2", "--context", "32768")
    halves = [answer(tmp_path / f"{n}.json", "--model", "Qwen3-Coder-30B-A3B-Instruct-FP8", *part) for n in (1, 2)]
    assert failed(halves) == []
    assert failed(halves[:1]) == ["plan: GPUs", "plan: hosts"], "half of each host would be idle"
    assert "plan: hosts" in failed([*halves, {**halves[0], "__preflight_plan_file": "third.json"}])


@pytest.mark.parametrize("engine", planned_sites.ENGINES)
@pytest.mark.parametrize("gpu", planned_sites.NVIDIA_GPUS)
def test_every_plan_for_a_known_gpu_passes_on_its_hosts(engine: str, gpu: str) -> None:
    [device] = [pci for pci, known in KNOWN.items() if known.get("planned_as") == gpu]
    host = {**DGX_H100, "nvidia_devices": [{"id": device, "class": "0x030200"}] * 8}
    for drawn in planned_sites.fitting(engine, gpu):
        document = parse(json.dumps(build(drawn)).encode(), "plan.json")
        entry = {"__preflight_plan_file": "plan.json", "rc": 0, "stdout": json.dumps(asdict(document))}
        found = {f"host{n}": host for n in range(drawn.request.site.nodes)}
        needed = {
            "plans": [entry],
            "gpus": 8,
            "known_gpus": KNOWN,
            "unseen": [],
            "plan_files": {},
        }
        rows = assess_plan(found, "host0", needed)
        assert rows
        assert [row["name"] for row in rows if not row["ok"]] == []


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


def test_a_plan_that_does_not_fit_or_is_none_is_refused_in_the_readers_words(tmp_path: Path) -> None:
    hosts = ("--gpu", "h100-80gb", "--gpus-per-node", "8")
    misfit = answer(tmp_path / "misfit.json", "--model", "Qwen3-Coder-480B-A35B-Instruct", *hosts)
    cut = answer(tmp_path / "cut.json", "--model", "Qwen3-Coder-480B")
    assert failed([misfit, cut]) == ["plan", "plan"]
    needed = {"plans": [misfit, cut], "gpus": 8, "known_gpus": KNOWN}
    first, second = assess_plan({"dgx1": DGX_H100}, "dgx1", needed)
    assert first["found"].startswith("Qwen3-Coder-480B-A35B-Instruct (bf16")
    assert "is not a plan of this version" in second["found"]


def test_the_role_asks_the_packages_reader_for_every_plan_of_the_host(tmp_path: Path) -> None:
    kept = [flagship(tmp_path / f"{hosts}.json", hosts) for hosts in (1, 2)]
    files = [entry["__preflight_plan_file"] for entry in kept]
    roles = [
        {"ansible.builtin.import_role": {"name": "preflight", "tasks_from": part}} for part in ("preflight", "inspect")
    ]
    tell = {"ansible.builtin.fail": {"msg": "{{ [__preflight_needed.plans | map(attribute='stdout'), "
                                            "__preflight_needed.plan_files] | to_json }}"}}  # fmt: skip
    variables = {"preflight_plan_files": files, "preflight_package_dir": str(ROLES.parents[1] / "python")}
    others = {"dgx2": {"preflight_plan_files": ["{{ 'other' }}.json"]}, "control1": {}}
    message = refused(tmp_path, [*roles, tell], {"dgx1": variables}, others)["dgx1"]
    read, lists = json.loads(message)
    assert read == [entry["stdout"].strip() for entry in kept]
    assert lists == {"dgx1": files, "dgx2": ["other.json"], "control1": []}


def test_plans_without_the_package_that_reads_them_are_refused(tmp_path: Path) -> None:
    role = {"ansible.builtin.import_role": {"name": "preflight", "tasks_from": "preflight"}}
    (tmp_path / "plan.json").write_text("{}")
    cases = {
        "no-file": {"preflight_plan_files": [str(tmp_path / "absent.json")]},
        "no-package": {"preflight_plan_files": [str(tmp_path / "plan.json")]},
    }
    messages = refused(tmp_path, [role], cases)
    assert "Found no file" in messages["no-file"]
    assert "Found no package in preflight_package_dir" in messages["no-package"]


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
