"""Refusals of the role nvme, with the answers of made-up hosts about their disks.

Stand-ins for python3 and mdadm print what a host says; the role's own tasks run on this machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from . import refusals

BY_ID = "/dev/disk/by-id/nvme-ACME"


def disk(number: int, *, own: bool = False, obstacle: str = "") -> dict[str, Any]:
    path = f"/dev/nvme{number}n1"
    holders = ["/dev/md127"] if own else []
    contents = ["linux_raid_member any:models"] if own else []
    name = f"{BY_ID}_{number}"
    return {"path": path, "name": name, "own": own, "obstacle": obstacle, "contents": contents, "holders": holders}


def host(*disks: dict[str, Any], members: tuple[int, ...] = (), **answer: Any) -> dict[str, Any]:
    nothing = {"released": [], "unmatched": [], "ambiguous": {}, "lost_members": []}
    array = {
        "array_members": [f"/dev/nvme{number}n1" for number in members],
        "array_contents": [],
        "filesystem_uuid": "",
    }
    return {"nvme_devices": [f"{BY_ID}_*"], "answer": {"disks": list(disks), **nothing, **array, **answer}}


def refused(folder: Path, tasks_from: str, cases: refusals.Cases, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").write_text('#!/bin/sh\ncat > /dev/null\n[ $# = 1 ] && echo [] || printf %s "$ANSWER"\n')
    (programs / "mdadm").write_text("#!/bin/sh\necho MD_LEVEL=raid0\necho MD_DEVICES=2\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    role = {"ansible.builtin.import_role": {"name": "nvme", "tasks_from": tasks_from}}
    return refusals.refused(folder, [{"block": [role], "environment": {"ANSWER": "{{ answer | to_json }}"}}], cases)


def test_sound_drives_pass_and_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        "empty": host(disk(0), disk(1)),
        "running": host(disk(0, own=True), disk(1, own=True), members=(0, 1)),
        "stopped": host(disk(0, own=True), disk(1, own=True)),
        "two-namespaces": host(disk(0), ambiguous={f"{BY_ID}_0": [f"{BY_ID}_0_1", f"{BY_ID}_0_2"]}),
        "holds-data": host(disk(0), disk(1, obstacle="holds ext4")),
        "lost-one": host(disk(0, own=True), members=(0, 1), lost_members=["/dev/nvme1n1"]),
        "partly": host(disk(0, own=True), disk(2)),
        "other-disks": host(disk(0, own=True), disk(2), members=(0, 1)),
    }
    messages = refused(tmp_path, "preflight", cases, monkeypatch)
    assert set(messages) == {"two-namespaces", "holds-data", "lost-one", "partly", "other-disks"}
    assert f"such as {BY_ID}_0_1:" in messages["two-namespaces"]
    assert "(/dev/nvme1n1) holds ext4" in messages["holds-data"]
    assert "without its /dev/nvme1n1" in messages["lost-one"]
    for name in ("lost-one", "partly"):
        assert "ansible/replace_drive.yml" in messages[name]


def test_only_an_array_that_lost_a_drive_is_made_anew_and_only_with_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = disk(0, own=True)
    cases = {
        "replaced": host(one, disk(2), members=(0, 1), lost_members=["/dev/nvme1n1"]),
        "replaced-and-rebooted": host(one, disk(1)),
        "interrupted": host(disk(0), disk(1)),
        "whole": host(one, disk(1, own=True), members=(0, 1)),
        "cable-seated-again": host(one, disk(1, own=True)),
        "not-replaced": host(one, members=(0, 1), lost_members=["/dev/nvme1n1"]),
        "not-seen": host(one, disk(2), unmatched=[f"{BY_ID}_1"]),
        "new-drive-with-data": host(one, disk(2, obstacle="holds ext4")),
        "fails-in-place": host(one, disk(1, obstacle="cannot be read (Input/output error)")),
    }
    messages = refused(tmp_path, "lost", cases, monkeypatch)
    assert set(messages) == {
        "whole",
        "cable-seated-again",
        "not-replaced",
        "not-seen",
        "new-drive-with-data",
        "fails-in-place",
    }
    assert "Found all 2 drives of /dev/md/models on whole" in messages["whole"]
    assert "Found 1 drives by nvme_devices on not-replaced, needed the 2" in messages["not-replaced"]
    assert "(/dev/nvme2n1) holds ext4" in messages["new-drive-with-data"]
    assert "cannot be read" in messages["fails-in-place"]
