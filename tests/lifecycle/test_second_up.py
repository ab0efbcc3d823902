"""Later runs of `make up`: one puts right what was changed on a host, the next finds everything as it should be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from lab.cluster import stack
from lab.hosts import rack
from lab.paths import REPO, SUMMARY
from lab.shell import output

# A file of one of the first roles on one host, and of one of the last on the other.
TOUCHED = {"cp1": "/etc/systemd/system/etcd-backup.timer", "gpu1": "/etc/tmpfiles.d/60-base.conf"}


def up() -> Mapping[str, Any]:
    """The summary of a run."""
    subprocess.run(["make", "up"], cwd=REPO, check=True, capture_output=True, text=True)
    summary: Mapping[str, Any] = json.loads(SUMMARY.read_text())
    return summary


def on_host(host: str, *argv: str) -> str:
    return output("podman", "exec", rack.PREFIX + host, *argv)


def test_a_run_puts_right_what_was_changed_on_a_host() -> None:
    before = {host: on_host(host, "cat", file) for host, file in TOUCHED.items()}
    for host, file in TOUCHED.items():
        on_host(host, "sh", "-c", f"echo '# by hand' >> {file}")
    changed = up()["ansible_changed"]
    assert {host: on_host(host, "cat", file) for host, file in TOUCHED.items()} == before
    assert all(changed.values()), changed


def test_a_second_run_changes_nothing() -> None:
    summary = up()
    assert summary["ansible_changed"]
    assert set(summary["ansible_changed"].values()) == {0}
    assert summary["pulumi_changed"] is False
    changed = [s for s in summary["steps"] if s["result"] != "unchanged" and s["name"] not in {"machine", "a question"}]
    assert changed == []


def test_a_preview_after_up_is_empty() -> None:
    assert stack.preview_is_empty()
