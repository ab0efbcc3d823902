"""`make down` leaves no trace."""

from __future__ import annotations

import json
import subprocess

from lab.paths import LAB, REPO
from tests.lifecycle import trace


def test_down_removes_all_that_up_made_and_nothing_else() -> None:
    subprocess.run(["make", "down"], cwd=REPO, check=True, capture_output=True, text=True)
    before = json.loads(trace.BEFORE.read_text())
    after = trace.read()
    assert {kind: left for kind in before if (left := sorted(set(after[kind]) ^ set(before[kind])))} == {}
    assert not LAB.exists()
