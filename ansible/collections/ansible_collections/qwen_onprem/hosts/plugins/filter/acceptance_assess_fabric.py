"""Judges the NVSwitch fabric of a host: the registration of its GPUs, and the services that run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row

HOPPER = 9.0  # compute capability from which GPUs register with the fabric; older ones say N/A for ever


def assess_fabric(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the fabric's checks; none for a host without GPUs or without NVSwitches.

    found:  answer of inspect_gpus.py
    needed: __acceptance_needed of vars/main.yml
    """
    if not (needed["gpus"] and needed["nvswitch"]):
        return []
    return [_registration(found, needed["gpus"]), *_services(found)]


def _registration(found: Mapping[str, Any], count: int) -> Row:
    capabilities = sorted({gpu["compute_cap"] for gpu in found["gpus"]})
    if found["gpus"] and all(float(capability) < HOPPER for capability in capabilities):
        summary = f"not told by compute capability {', '.join(capabilities)}"
        return row("fabric", True, summary, "nothing before 9.0: NVLink and torch.cuda speak for it", "None.")
    states = [f"{gpu['state']}/{gpu['status']}" for gpu in found["fabric"]]
    return row(
        "fabric",
        states == ["Completed/Success"] * count,
        found["errors"].get("fabric", ", ".join(sorted(set(states))) or "no fabric state"),
        f"Completed/Success on each of {count}",
        _fabric_remedy(states),
    )


def _services(found: Mapping[str, Any]) -> Iterator[Row]:
    for service, state in found["services"].items():
        yield row(service, state == "active", state, "active", _service_remedy(service))


def _fabric_remedy(states: list[str]) -> str:
    ended = [state for state in states if state.startswith("Completed/") and state != "Completed/Success"]
    if ended:
        return "The fabric manager could not route every link: /var/log/fabricmanager.log names the GPU or NVSwitch."
    return "See that the fabric manager's version is the driver's, restart it, and read /var/log/fabricmanager.log."


def _service_remedy(service: str) -> str:
    remedy = f"Read journalctl --unit={service}"
    if service == "nvidia-fabricmanager":
        return f"{remedy}, start it, and look at the fabric again: GPUs keep their last state while it is dead."
    return f"{remedy}."


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_assess_fabric": assess_fabric}
