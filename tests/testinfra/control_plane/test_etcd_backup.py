"""There is a snapshot of etcd to come back from, and there will be another."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from ..inventory import Expected


@pytest.fixture(scope="module")
def snapshots(host: Host, expected: Expected) -> list[str]:
    """Paths of this member's snapshots, oldest first."""
    names = f"etcd-????????T??????Z-{expected['etcd_backup_member_name']}.db"
    return sorted(host.check_output("find %s -name %s", expected["etcd_backup_dir"], names).split())


def test_the_timer_runs_now_and_at_boot(host: Host) -> None:
    timer = host.service("etcd-backup.timer")
    assert timer.is_running
    assert timer.is_enabled


def test_the_last_run_succeeded(host: Host) -> None:
    result = host.check_output("systemctl show etcd-backup.service --property=Result --value")
    assert result == "success", host.run("journalctl -u etcd-backup -n 20 --no-pager").stdout


def test_no_more_snapshots_are_kept_than_the_inventory_says(snapshots: list[str], expected: Expected) -> None:
    assert 1 <= len(snapshots) <= expected["etcd_backup_keep"]


def test_the_newest_snapshot_is_what_was_verified(host: Host, expected: Expected, snapshots: list[str]) -> None:
    verified = json.loads(host.file(snapshots[-1].removesuffix(".db") + ".json").content_string)
    assert verified["totalKey"] > 0
    tool = f"/usr/local/sbin/etcd-tool {expected['etcd_backup_dir']} etcdutl"
    now = json.loads(host.check_output(f"{tool} snapshot status {snapshots[-1]} --write-out=json"))
    assert now == verified


def test_only_root_reads_the_snapshots(host: Host, expected: Expected, snapshots: list[str]) -> None:
    assert host.file(expected["etcd_backup_dir"]).mode == 0o700
    assert host.file(snapshots[-1]).mode == 0o600


def test_the_age_of_the_newest_is_told(host: Host, expected: Expected, snapshots: list[str]) -> None:
    if not expected["etcd_backup_metrics_dir"]:
        pytest.skip("nobody reads measurements here")
    told = host.file(f"{expected['etcd_backup_metrics_dir']}/etcd-backup.prom").content_string
    values = dict(line.split() for line in told.splitlines() if not line.startswith("#"))
    assert int(values["qwen_etcd_backup_size_bytes"]) == host.file(snapshots[-1]).size
    assert abs(int(values["qwen_etcd_backup_time_seconds"]) - host.file(snapshots[-1]).mtime.timestamp()) < 120
