"""Judges a host apart from its GPUs: clock, disk, the network between hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row


def assess_host(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the host's checks.

    found:  answer of inspect_gpus.py, and under `disk` and `all_reduce` those of the scripts that were run
    needed: __acceptance_needed of vars/main.yml
    """
    return [*_host(found, needed)]


def _host(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    yield row(
        "clock",
        found["clock_disciplined"] or not needed["clock_sync_required"],
        "synchronised" if found["clock_disciplined"] else "not synchronised",
        "synchronised" if needed["clock_sync_required"] else "either",
        "Read chronyc sources: the site's time servers do not answer.",
    )
    if "disk" in found:
        disk = found["disk"]
        yield row(
            "disk bandwidth",
            disk["gb_per_s"] >= needed["disk_min_gb_per_s"],
            f"{disk['gb_per_s']} GB/s over {disk['bytes'] / 1e9:.1f} GB",
            f"{needed['disk_min_gb_per_s']} GB/s",
            "Look for a drive that is slow or gone (mdadm --detail, nvme smart-log).",
        )
    if "all_reduce" in found:
        yield _all_reduce(found["all_reduce"], needed)


def _all_reduce(result: Mapping[str, Any], needed: Mapping[str, Any]) -> Row:
    least, ranks = needed["all_reduce_min_gb_per_s"], needed["all_reduce_ranks"]
    right = result.get("correct") and result["ranks"] == ranks and result["bus_gb_per_s"] >= least
    summary = result.get("error") or "no result of rank 0"
    if "backend" in result:
        verdict = "right" if result["correct"] else "wrong"
        summary = f"{result['backend']}, {verdict} sum of {result['ranks']} ranks, bus {result['bus_gb_per_s']} GB/s"
    return row(
        "all-reduce",
        right,
        summary,
        f"a right sum of {ranks} ranks at {least} GB/s or more",
        "See that udp 8472 passes between all nodes, pods' packets travel in it, and run it with NCCL_DEBUG=INFO.",
    )


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_assess_host": assess_host}
