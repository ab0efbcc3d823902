"""The script that takes etcd's snapshots, rendered as the role renders it, with a stub instead of etcd's tools."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from . import refusals
from .by_path import ROLES

ROLE = ROLES / "etcd_backup"
MEMBERS = ("control1", "control2", "control-1")
OTHERS_PARTIAL = ".partial-control9"
# etcd-tool DIRECTORY etcdctl|etcdutl ARGUMENTS...: saves in a second (names tell seconds), restores, judges a snapshot.
STUB_TOOL = """#!/bin/bash
set -euo pipefail
case "$*" in
  *"snapshot save"*) sleep 1; echo "state" > "${@: -1}" ;;
  *"snapshot restore"*) sleep 0.3; grep --quiet state "$5"; mkdir "${6#--data-dir=}" ;;
  *"snapshot status"*) grep --quiet state "$5"; echo '{"totalKey": 1}' ;;
esac
"""


def script(folder: Path, member: str, **variables: Any) -> Path:
    """The script of one member, executable, with its snapshots in folder/share."""
    (folder / "share").mkdir(exist_ok=True)
    tool = folder / "etcd-tool"
    tool.write_text(STUB_TOOL)
    tool.chmod(0o755)
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)  # as Ansible's
    environment.filters["quote"] = shlex.quote
    known = {
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
        "ansible_managed": "managed",
        "etcd_backup_dir": str(folder / "share"),
        "etcd_backup_member_name": member,
        "__etcd_backup_tool": str(tool),
    }
    rendered = folder / f"etcd-backup-{member}"
    template = environment.from_string((ROLE / "templates/etcd-backup.sh.j2").read_text())
    rendered.write_text(template.render(known | variables))
    rendered.chmod(0o755)
    return rendered


def names(folder: Path, member: str = "") -> list[str]:
    """Names of one member's snapshots, or of everything that lies on the share."""
    lying = sorted(path.name for path in (folder / "share").iterdir())
    return [name for name in lying if name.endswith(f"{member}.db")] if member else lying


def test_members_on_one_share_do_not_touch_each_others_snapshots(tmp_path: Path) -> None:
    scripts = [script(tmp_path, member) for member in MEMBERS]
    for _ in range(3):
        runs = [subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for one in scripts]
        errors = [run.communicate()[1] for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0], errors
    for member in MEMBERS:
        snapshots = names(tmp_path, f"Z-{member}")
        assert len(snapshots) == 3
        assert {f"{name.removesuffix('.db')}.json" for name in snapshots} <= set(names(tmp_path))


def test_each_member_keeps_its_own_number_of_snapshots(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    for member in MEMBERS:
        for day in range(1, 5):
            for ending in ("db", "json"):
                (tmp_path / f"share/etcd-2026010{day}T000000Z-{member}.{ending}").touch()
    subprocess.run([script(tmp_path, "control1", etcd_backup_keep=2)], check=True, capture_output=True)
    assert len(names(tmp_path, "Z-control1")) == 2
    assert names(tmp_path, "Z-control1")[0] == "etcd-20260104T000000Z-control1.db"
    assert "etcd-20260103T000000Z-control1.json" not in names(tmp_path)
    assert len(names(tmp_path, "Z-control-1")) == len(names(tmp_path, "Z-control2")) == 4


def test_what_a_power_cut_left_goes_but_not_another_members_running_work(tmp_path: Path) -> None:
    for partial in (".partial-control1", OTHERS_PARTIAL):
        (tmp_path / "share" / partial).mkdir(parents=True)
        (tmp_path / "share" / partial / "snapshot.db").touch()
    subprocess.run([script(tmp_path, "control1")], check=True, capture_output=True)
    assert [name for name in names(tmp_path) if name.startswith(".")] == [OTHERS_PARTIAL]


def test_nothing_is_written_while_the_share_is_not_mounted(tmp_path: Path) -> None:
    ended = subprocess.run(
        [script(tmp_path, "control1", etcd_backup_mount=str(tmp_path / "share"))],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert f"found nothing mounted on {tmp_path}/share; needed the share" in ended.stderr
    assert names(tmp_path) == []


@pytest.fixture(scope="module")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("refusals")
    cases = {
        "local": {},
        "mounted": {"etcd_backup_dir": "/proc/snapshots", "etcd_backup_mount": "/proc"},
        "missing": {"etcd_backup_dir": f"{folder}/share/etcd", "etcd_backup_mount": f"{folder}/share"},
        "beside": {"etcd_backup_dir": "/procession", "etcd_backup_mount": "/proc"},
    }
    tasks = [{"ansible.builtin.import_role": {"name": "etcd_backup", "tasks_from": "preflight"}}]
    return refusals.refused(folder, tasks, cases)


def test_a_share_that_is_not_mounted_is_refused_by_name(preflight: dict[str, str]) -> None:
    assert set(preflight) == {"missing", "beside"}
    assert "/share of missing; needed the share" in preflight["missing"]
    assert "needed a directory below the mount point" in preflight["beside"]
