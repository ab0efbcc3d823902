"""Made-up hosts for the role kubernetes: their files, those of the control plane, and a run for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import refusals

NODE = {"admin.conf": "a", "kubelet.conf": "k", "pki/ca.crt": "authority"}
WORKER = {"kubelet.conf": "k", "pki/ca.crt": "authority"}


def kubernetes_files(found: dict[str, str]) -> list[dict[str, str]]:
    return [{"path": f"/etc/kubernetes/{name}", "checksum": checksum} for name, checksum in found.items()]


def seen(own: dict[str, str], **on_control_plane: dict[str, str] | None) -> dict[str, Any]:
    """Files that a host has seen: its own, and those of each control-plane host; None is a silent host."""
    answers = [
        {"item": name, **({} if files is not None else {"msg": "timed out"})}
        for name, files in on_control_plane.items()
    ]
    looked = [{"item": n, "files": kubernetes_files(f)} for n, f in on_control_plane.items() if f is not None]
    return {
        "kubernetes_control_plane_hosts": list(on_control_plane),
        "__kubernetes_state": {"files": kubernetes_files(own)},
        "__kubernetes_asked": {"results": answers},
        "__kubernetes_looked": {"results": looked},
    }


def refused(folder: Path, tasks_from: str, cases: refusals.Cases) -> dict[str, str]:
    """Run one task file of the role; return the message to each case that was refused."""
    tasks = [{"ansible.builtin.import_role": {"name": "kubernetes", "tasks_from": tasks_from}}]
    return refusals.refused(folder, tasks, cases, others={name: {} for name in ("cp1", "cp2", "cp3")})
