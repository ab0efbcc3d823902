"""The volume of the lab's Prometheus is filled: it is told, and with room again everything that was kept is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from lab.cluster import stack
from tests.faults import rules_of_prometheus
from tests.faults.alert_receiver import Kubectl
from tests.faults.breaking import GPU_HOST, by_commands, on_host
from tests.faults.telling import story_by_the_stacks_rules

FOLDER = "/var/lib/qwen/monitoring"
PARTS = ("prometheus", "alertmanager")
# A disk of 64 MB: a file system of its own for Prometheus' folder alone.
DISK = f"{FOLDER}/prometheus"
AGO_S = 30


@pytest.fixture
def on_a_disk_of_its_own(kubectl: Kubectl) -> Iterator[None]:
    """The stack with its measurements on a small disk of the GPU host; afterwards as before."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:monitoring"] |= {"storage": {"host": GPU_HOST, "path": FOLDER}}
    with ExitStack() as back:
        back.callback(on_host, GPU_HOST, f"! mountpoint --quiet {DISK} || umount {DISK}", f"rm -rf {FOLDER}")
        back.callback(as_before, kept)
        on_host(
            GPU_HOST,
            *(f"install --directory --owner 10001 --group 10001 --mode 0750 {FOLDER}/{part}" for part in PARTS),
            f"mount -t tmpfs -o size=64m,uid=10001,gid=10001,mode=0750 disk {DISK}",
        )
        stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
        stack.up()
        stack.wait()
        yield


def as_before(kept: str) -> None:
    stack.CONFIG.write_text(kept)
    stack.up()
    stack.wait()


def kept_at(at: float) -> int:
    """Number of targets of which Prometheus still has a sample from then."""
    return len(rules_of_prometheus.ask("query", query="up", time=str(at))["result"])


def test_a_full_volume_is_told_and_loses_nothing_that_was_kept(
    on_a_disk_of_its_own: None, kubectl: Kubectl, tmp_path: Path
) -> None:
    full = by_commands(
        GPU_HOST,
        "the disk of Prometheus full",
        ("MeasurementsNotKept",),
        f"dd if=/dev/zero of={DISK}/rest bs=4k 2> /dev/null || true",
        f"rm --force {DISK}/rest",
    )
    with story_by_the_stacks_rules(kubectl, tmp_path) as story:
        rules_of_prometheus.wait_seen("count(up == 1) >= 15", 120)
        rules_of_prometheus.wait_seen(f"min_over_time(count(up == 1)[{AGO_S}s:5s]) >= 15", 120)
        before = time.time()
        seen = kept_at(before)
        story.breaks(full)
        story.wait_fired(full)
        story.mends(full)
        story.wait_resolved(full)
        assert kept_at(before) == seen
        assert kept_at(time.time()) == seen
        print(f"\n{story.table()}")
