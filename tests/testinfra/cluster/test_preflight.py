"""The host is still what preflight accepted: its own script and its own judgement, asked again."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from ..inventory import ROOT, Expected

PREFLIGHT = ROOT / "ansible/roles/preflight"
sys.path[:0] = [str(PREFLIGHT / "filter_plugins"), str(ROOT / "python/src")]


@pytest.fixture(scope="module")
def found(host: Host, expected: Expected) -> dict[str, Any]:
    script = Path(PREFLIGHT / "files/inspect_host.py").read_text()
    return json.loads(host.check_output("python3 -c %s %s", script, json.dumps(expected["__preflight_question"])))


def test_the_host_is_what_was_asked_for(node: str, found: dict[str, Any], expected: Expected) -> None:
    from preflight_gpus import assess_gpus
    from preflight_host import assess_host
    from preflight_plan import assess_plan
    from qwen_runtime import plan

    plans = [
        {"__preflight_plan_file": file, "rc": 0, "stdout": json.dumps(asdict(plan.read(Path(file))))}
        for file in expected["preflight_plan_files"]
    ]
    needed = expected["__preflight_needed"] | {"plans": plans}
    rows = assess_host(found, needed)
    rows += [row for assess in (assess_gpus, assess_plan) for row in assess({node: found}, node, needed)]
    # One host at a time is seen here: how many there are is asked of no single one.
    assert [row for row in rows if not row["ok"] and row["name"] != "plan: hosts"] == []
