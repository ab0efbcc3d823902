"""Hosts against the plan that was made for them: the answer of `qwen-runtime plan --json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
DISPLAY_CLASS = "0x03"  # PCI base class of graphics and 3D controllers
GB = 1e9
REPLAN = "Correct the inventory, or plan anew for what the hosts have (qwen-runtime plan --json)."


def assess_plan(found_everywhere: Mapping[str, Any], host: str, needed: Mapping[str, Any]) -> list[Row]:
    """Rows {name, found, needed, remedy, ok}; of a plan that does not fit only that, in its own words.

    found_everywhere: host name to the answer of inspect_host.py, for all hosts of the play
    needed:           __preflight_needed of vars/main.yml; its "unseen" are GPU hosts of the inventory outside this run
    """
    plan = needed["plan"]
    if not (plan and needed["gpus"]):
        return []
    if not plan["fits"]:
        return [_row("plan", False, plan["reason"], "a plan that fits", "Take what it names, and plan anew.")]
    hardware = plan["hardware"]
    gpus = {name: _gpus(found, needed["known_gpus"]) for name, found in found_everywhere.items()}
    own = gpus[host]
    wanted = [hardware["gpu"]] * hardware["gpus_per_node"]
    seen, unseen = sum(names == wanted for names in gpus.values()), len(needed["unseen"])
    hosts = f"{seen} with these GPUs" + (f", and {unseen} of the inventory outside this run" if unseen else "")
    memory_bytes = found_everywhere[host]["memory_bytes"]
    storage_bytes = sum(found_everywhere[host]["drives_bytes"].values())
    least = plan["host"]
    return [
        _row("plan: GPUs", own == wanted, _said(own), _said(wanted), REPLAN),
        _row("plan: hosts", seen + unseen >= hardware["nodes"], hosts, f"{hardware['nodes']}", REPLAN),
        _row(
            "plan: memory", memory_bytes >= least["memory_bytes"], _gb(memory_bytes), _gb(least["memory_bytes"]), REPLAN
        ),
        _row(
            "plan: storage", storage_bytes >= least["disk_bytes"], _gb(storage_bytes), _gb(least["disk_bytes"]), REPLAN
        ),
    ]


def _row(name: str, ok: bool, found: str, wanted: str, remedy: str) -> Row:
    return {"name": name, "ok": bool(ok), "found": found, "needed": wanted, "remedy": remedy}


def _gpus(found: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """The GPUs by the planner's names; one that it does not know goes by its model or its id."""
    ids = [device["id"] for device in found["nvidia_devices"] if device["class"].startswith(DISPLAY_CLASS)]
    return [known.get(gpu, {}).get("planned_as") or known.get(gpu, {}).get("model", gpu) for gpu in ids]


def _said(gpus: list[str]) -> str:
    return ", ".join(f"{gpus.count(name)} x {name}" for name in sorted(set(gpus))) or "none"


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / GB:.0f} GB"


class FilterModule:
    """Ansible's way of finding filters."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_plan": assess_plan}
