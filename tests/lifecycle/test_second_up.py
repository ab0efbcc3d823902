"""A second `make up` finds everything as it should be."""

from __future__ import annotations

import json
import subprocess

from lab.cluster import stack
from lab.paths import REPO, SUMMARY


def test_a_second_run_changes_nothing() -> None:
    subprocess.run(["make", "up"], cwd=REPO, check=True, capture_output=True, text=True)
    summary = json.loads(SUMMARY.read_text())
    assert summary["ansible_changed"]
    assert set(summary["ansible_changed"].values()) == {0}
    assert summary["pulumi_changed"] is False
    changed = [s for s in summary["steps"] if s["result"] != "unchanged" and s["name"] not in {"machine", "a question"}]
    assert changed == []


def test_a_preview_after_up_is_empty() -> None:
    assert stack.preview_is_empty()
