"""Judges a host apart from its GPUs: memory, drives, kernel, Secure Boot, clock, mounts, ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row

GB = 1e9


def assess_host(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """One row per question, whether it passes or not.

    found:  answer of inspect_host.py
    needed: __preflight_needed of vars/main.yml
    """
    return [*_host(found, needed), *_clock(found, needed), *_mounts(found, needed), *_ports(found, needed)]


def _host(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    memory_gb = found["memory_bytes"] / GB
    yield row(
        "memory",
        memory_gb >= needed["memory_min_gb"],
        f"{memory_gb:.0f} GB",
        f"{needed['memory_min_gb']} GB",
        "Add memory, or look for modules that the firmware has disabled.",
    )
    storage_gb = sum(found["drives_bytes"].values()) / GB
    yield row(
        "NVMe storage",
        storage_gb >= needed["storage_min_gb"],
        f"{storage_gb:.0f} GB on {len(found['drives_bytes'])} drives",
        f"{needed['storage_min_gb']} GB",
        "Add drives, or look for drives that the kernel does not see (nvme list).",
    )
    for path, least_gb in needed["filesystems_min_gb"].items():
        size_gb = found["filesystems_bytes"][path] / GB
        yield row(
            f"file system of {path}",
            size_gb >= least_gb,
            f"{size_gb:.0f} GB",
            f"{least_gb} GB",
            "Enlarge it, or give the folder a file system of its own (df shows what there is).",
        )
    yield row(
        "kernel",
        _version(found["kernel"]) >= _version(needed["kernel_min"]),
        found["kernel"],
        f"{needed['kernel_min']} or newer",
        "Install the distribution's current kernel and reboot.",
    )
    yield row(
        "Secure Boot",
        needed["secure_boot_allowed"] or not found["secure_boot"],
        "enabled" if found["secure_boot"] else "disabled",
        "either" if needed["secure_boot_allowed"] else "disabled",
        "Disable it in the firmware, or sign the driver's modules and set preflight_secure_boot_allowed.",
    )


def _version(text: str) -> tuple[int, ...]:
    """Numbers of a version: (6, 1, 0) for "6.1.0-50-amd64"."""
    return tuple(int(part) for part in text.split("-")[0].split("+")[0].split(".") if part.isdigit())


def _clock(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    limit = needed["clock_offset_max_s"]
    yield row(
        "clock",
        abs(found["clock_offset_s"]) <= limit,
        f"{found['clock_offset_s']:+.1f} s against the controller",
        f"at most {limit} s",
        "Set it with date --set, or correct the controller's clock: certificates would not be valid yet.",
    )
    yield row(
        "clock synchronisation",
        found["clock_disciplined"] or not needed["clock_sync_required"],
        "synchronised" if found["clock_disciplined"] else "not synchronised",
        "synchronised" if needed["clock_sync_required"] else "either",
        "Start the host's time service and wait until timedatectl calls the clock synchronised.",
    )


def _mounts(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    for path in needed["mounts"]:
        mounted = path in found["mounted"]
        yield row(
            f"mount {path}",
            mounted,
            "mounted" if mounted else "nothing mounted there",
            "the site's share",
            f"Name it in /etc/fstab and mount it: mount {path}.",
        )


def _ports(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    for port, allowed in needed["ports"].items():
        free = port not in found["port_holders"]
        holders = found["port_holders"].get(port) or ["an unknown process"]
        strangers = [] if free else [name for name in holders if name not in allowed]
        yield row(
            f"port {port}",
            not strangers,
            "free" if free else f"held by {', '.join(holders)}",
            f"free or held by {' or '.join(allowed)}",
            f"Stop {', '.join(strangers)}, or move it to another port." if strangers else "Nothing.",
        )


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_host": assess_host}
