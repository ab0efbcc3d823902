"""Judges the GPUs of a host, check by check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row


def assess_gpus(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the GPUs' checks; none for a host without GPUs. Where a program failed, its error is what was found.

    found:  answer of inspect_gpus.py, and under `torch` that of torch_devices.py where it was run
    needed: __acceptance_needed of vars/main.yml
    """
    return [*_gpus(found, needed)] if needed["gpus"] else []


def _gpus(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    gpus, errors, count = found["gpus"], found["errors"], needed["gpus"]
    drivers = sorted({gpu["driver_version"] for gpu in gpus})
    models = sorted({gpu["name"] for gpu in gpus})
    summary = f"{len(gpus)} x {', '.join(models)}, driver {', '.join(drivers)}" if gpus else "no GPU"
    yield row(
        "nvidia-smi",
        len(gpus) == count and len(drivers) == 1 and len(models) == 1,
        errors.get("gpus", summary),
        f"{count} alike, one driver",
        "Read dmesg for the GPU that is missing; if none is there, look whether the driver's module is loaded (lsmod).",
    )
    yield from _modes(found, gpus, count)
    if needed["ecc"]:
        yield from _ecc(found, count)
    if needed["nvlinks"]:
        links = found["links"]
        yield row(
            "NVLink",
            len(links) == count and all(active == needed["nvlinks"] for active in links),
            errors.get("links", f"active links by GPU: {', '.join(map(str, links)) or 'none'}"),
            f"{needed['nvlinks']} on each of {count}",
            "Read nvidia-smi nvlink --errorcounters and the fabric manager's log; reset the GPU or reseat the board.",
        )
    serious = [event for event in found["xids"] if int(event["xid"]) not in needed["xids_ignored"]]
    yield row(
        "XID",
        not serious,
        "; ".join(f"{event['xid']} on {event['gpu']}" for event in serious) or "none since boot",
        "none that tells of hardware",
        "Look the number up in NVIDIA's XID catalogue: drain the node, then reset the GPU or call for its replacement.",
    )
    if "torch" in found:
        yield _torch(found["torch"], needed["free_gpus"])


def _modes(found: Mapping[str, Any], gpus: list[dict[str, str]], count: int) -> Iterator[Row]:
    divided = [gpu["index"] for gpu in gpus if gpu["mig.mode.current"] == "Enabled"]
    yield row(
        "MIG",
        len(gpus) == count and not divided,
        found["errors"].get("gpus", f"on GPU {', '.join(divided)}" if divided else "off"),
        "off: a divided GPU is no device as a whole",
        f"Drain the node, stop nvidia-mig-manager if it runs, nvidia-smi -i {','.join(divided) or 'N'} -mig 0, reboot.",
    )
    corrupted = found["inforoms"]
    yield row(
        "infoROM",
        "inforoms" not in found["errors"] and not corrupted,
        found["errors"].get("inforoms", f"corrupted on GPU {', '.join(corrupted)}" if corrupted else "sound"),
        "sound",
        "The GPU computes, but its error counts and remapped rows are lost: update its firmware or have it replaced.",
    )


def _ecc(found: Mapping[str, Any], count: int) -> Iterator[Row]:
    gpus, remapped = found["gpus"], found["remapped"]
    modes = sorted({gpu["ecc.mode.current"] for gpu in gpus})
    wrong = [gpu["index"] for gpu in gpus if gpu["ecc.errors.uncorrected.volatile.total"] != "0"]
    yield row(
        "ECC",
        len(gpus) == count and modes == ["Enabled"] and not wrong,
        found["errors"].get("gpus", f"mode {', '.join(modes) or 'none'}; uncorrected errors on GPU {wrong or 'none'}"),
        "Enabled, no uncorrected error since boot",
        "Enable it (nvidia-smi --ecc-config=1, then reboot); a GPU with uncorrected errors is drained and reset.",
    )
    pending = [n for n, gpu in enumerate(remapped) if gpu["pending"] != "No"]
    failed = [n for n, gpu in enumerate(remapped) if gpu["failed"] != "No"]
    yield row(
        "remapped rows",
        len(remapped) == count and not pending and not failed,
        found["errors"].get("remapped", f"pending on GPU {pending or 'none'}, failed on GPU {failed or 'none'}"),
        "none pending, none failed",
        "Pending: reset the GPU. Failed: have it replaced.",
    )


def _torch(seen: Mapping[str, Any], count: int) -> Row:
    summary = seen.get("error", "the pod ended without an answer")
    if "torch" in seen:
        devices = f"{len(seen['devices'])} devices" if seen["cuda_available"] else "no CUDA device"
        summary = f"torch {seen['torch']} for CUDA {seen['cuda_build']}: {devices}"
    return row(
        "torch.cuda",
        seen.get("cuda_available") and len(seen["devices"]) == count and seen["computed"],
        summary,
        f"{count} devices that compute",
        "Free the GPUs if they are in use; else see that driver, fabric manager and the image's CUDA belong together.",
    )


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_assess_gpus": assess_gpus}
