"""Judges the GPUs of a host against what is needed, and against those of the other hosts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.pci import gpu_ids
from ..plugin_utils.rows import Row, row


def assess_gpus(found_everywhere: Mapping[str, Any], host: str, needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the GPUs' checks; none for a host that needs no GPU.

    found_everywhere: host name to the answer of inspect_host.py, for all hosts of the play
    needed:           __preflight_needed of vars/main.yml
    """
    if not needed["gpus"]:
        return []
    files = needed["plan_files"]
    pool = {name: found for name, found in found_everywhere.items() if files.get(name) == files.get(host)}
    return [*_gpus(found_everywhere[host], needed), _same_model(pool, needed)]


def _gpus(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    ids, known = gpu_ids(found), needed["known_gpus"]
    yield row(
        "GPUs",
        len(ids) >= needed["gpus"],
        f"{len(ids)} on the PCI bus",
        f"{needed['gpus']}",
        "Look for a GPU that fell off the bus (lspci -d 10de:, the BMC's log), reseat it or take the host out.",
    )
    strangers = sorted({gpu for gpu in ids if gpu not in known})
    yield row(
        "GPU ids",
        not strangers,
        ", ".join(strangers) or "all known",
        "ids with a known model and memory",
        "Name the model in preflight_extra_gpus.",
    )
    models = Counter(known[gpu]["model"] for gpu in ids if gpu in known)
    accepted = needed["gpu_models"]
    others = [known[gpu]["model"] for gpu in ids if gpu in known and not _is_called(known[gpu], accepted)]
    yield row(
        "GPU model",
        len(models) <= 1 and not (accepted and others),
        ", ".join(f"{count} x {model}" for model, count in models.items()) or "none",
        f"one model{', of ' + ', '.join(accepted) if accepted else ''}",
        "Replace what differs, or write what was found into preflight_gpu_models.",
    )
    smallest = min((known[gpu]["memory_gb"] for gpu in ids if gpu in known), default=0)
    yield row(
        "GPU memory",
        smallest >= needed["gpu_memory_min_gb"],
        f"{smallest} GB",
        f"{needed['gpu_memory_min_gb']} GB each",
        "Take larger GPUs, or a plan with a smaller model and a lower preflight_gpu_memory_min_gb.",
    )
    switches = sum(device["id"] in needed["known_nvswitches"] for device in found["nvidia_devices"])
    yield row(
        "NVSwitches",
        switches >= needed["nvswitches"],
        f"{switches} on the PCI bus",
        f"{needed['nvswitches']}",
        "Look for a switch that fell off the bus (lspci -d 10de:, the BMC's log): GPUs would lose NVLink.",
    )


def _same_model(pool: Mapping[str, Any], needed: Mapping[str, Any]) -> Row:
    """Hosts with different GPUs need different plans, because a plan sizes every rank alike."""
    hosts: dict[str, list[str]] = {}
    for host, found in pool.items():
        for gpu in set(gpu_ids(found)):
            hosts.setdefault(needed["known_gpus"].get(gpu, {}).get("model", gpu), []).append(host)
    return row(
        "GPU models of all hosts",
        len(hosts) <= 1,
        "; ".join(f"{model} on {', '.join(sorted(names))}" for model, names in sorted(hosts.items())) or "none",
        "one model",
        "Give each kind of hosts plans of its own (preflight_plan_files of its group).",
    )


def _is_called(gpu: Mapping[str, Any], names: list[str]) -> bool:
    """Whether one of the names is this GPU's: in this role, for the planner or for nvidia-smi."""
    gpu_names = {_plain(gpu[key]) for key in ("model", "planned_as", "smi_name") if key in gpu}
    return not gpu_names.isdisjoint(map(_plain, names))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]|nvidia|tesla", "", name.lower())


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_gpus": assess_gpus}
