"""Judges hosts against the plans that were made for them, which `qwen-runtime plan --read` has read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..plugin_utils.pci import gpu_ids
from ..plugin_utils.rows import Row, row

GB = 1e9
REPLAN = "Correct the inventory, or plan anew for what the hosts have (qwen-runtime plan --json)."


def assess_plan(found_everywhere: Mapping[str, Any], host: str, needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the plans' checks. A plan that does not fit gives only the reader's refusal.

    found_everywhere: host name to the answer of inspect_host.py, for all hosts of the play
    needed:           __preflight_needed of vars/main.yml: "plans" are the reader's answers, "plan_files" the lists of
                      all hosts, "unseen" GPU hosts of the inventory outside this run
    """
    if not (needed["plans"] and needed["gpus"]):
        return []
    if refused := [answer for answer in needed["plans"] if answer["rc"]]:
        return [_refusal(answer) for answer in refused]
    plans = {Path(answer["__preflight_plan_file"]).name: json.loads(answer["stdout"]) for answer in needed["plans"]}
    gpus = {name: _gpus(found, needed["known_gpus"]) for name, found in found_everywhere.items()}
    rows = [_gpus_row(name, plan, gpus[host], len(plans)) for name, plan in plans.items()]
    return [*rows, _hosts_row(plans, gpus, host, needed), *_size_rows(plans, found_everywhere[host], len(gpus[host]))]


def _refusal(answer: Mapping[str, Any]) -> Row:
    parts = re.fullmatch(r"(?s)found:  (.*)\nneeded: (.*)\nremedy: (.*)", answer["stderr"].strip())
    found, wanted, remedy = parts.groups() if parts else (answer["stderr"], "a plan that can be read", REPLAN)
    return row("plan", False, found, wanted, remedy)


def _gpus_row(name: str, plan: Mapping[str, Any], own_gpus: list[str], plans: int) -> Row:
    """A single plan takes all GPUs of a host; each of several plans may take a part."""
    hosts = plan["hosts"]
    wanted = [hosts["gpu"]] * hosts["gpus_per_node"]
    fits = own_gpus == wanted or (plans > 1 and set(own_gpus) == set(wanted) and len(wanted) < len(own_gpus))
    return row(_label(name, plans, "GPUs"), fits, _summary(own_gpus), _summary(wanted), REPLAN)


def _hosts_row(plans: Mapping[str, Any], gpus: Mapping[str, list[str]], host: str, needed: Mapping[str, Any]) -> Row:
    """The plans of a pool use its hosts, no fewer and no more; several plans may share hosts."""
    files, own_gpus = needed["plan_files"], gpus[host]
    seen = sum(found == own_gpus for name, found in gpus.items() if files.get(name) == files.get(host))
    unseen = sum(files.get(name) == files.get(host) for name in needed["unseen"])
    planned_gpus = sum(plan["hosts"]["nodes"] * plan["hosts"]["gpus_per_node"] for plan in plans.values())
    most = max(plan["hosts"]["nodes"] for plan in plans.values())
    wanted = planned_gpus / len(own_gpus) if own_gpus else 0
    counted = f"{seen} with these GPUs" + (f", and {unseen} of the inventory outside this run" if unseen else "")
    return row("plan: hosts", seen + unseen == wanted and most <= wanted, counted, f"{wanted:g}", REPLAN)


def _size_rows(plans: Mapping[str, Any], found: Mapping[str, Any], gpus: int) -> Iterator[Row]:
    """Each host stores the weights of all plans. Its memory must hold the plans that share it, or the largest one."""
    hosts = [plan["hosts"] for plan in plans.values()]
    memories = [each["memory_bytes"] for each in hosts]
    memory = max(memories) if any(each["gpus_per_node"] == gpus for each in hosts) else sum(memories)
    disk = sum(each["disk_bytes"] for each in hosts)
    drives = sum(found["drives_bytes"].values())
    yield row("plan: memory", found["memory_bytes"] >= memory, _gb(found["memory_bytes"]), _gb(memory), REPLAN)
    yield row("plan: storage", drives >= disk, _gb(drives), _gb(disk), REPLAN)


def _label(name: str, plans: int, what: str) -> str:
    return f"plan {name}: {what}" if plans > 1 else f"plan: {what}"


def _gpus(found: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """The GPUs by the planner's names; one that it does not know goes by its model or its id."""
    return [known.get(gpu, {}).get("planned_as") or known.get(gpu, {}).get("model", gpu) for gpu in gpu_ids(found)]


def _summary(gpus: list[str]) -> str:
    return ", ".join(f"{gpus.count(name)} x {name}" for name in sorted(set(gpus))) or "none"


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / GB:.0f} GB"


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_plan": assess_plan}
