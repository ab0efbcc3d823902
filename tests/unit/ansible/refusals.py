"""Runs tasks of a role on this machine for many made-up hosts at once, and reports which of them were refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ANSIBLE = Path(__file__).parents[3] / "ansible"
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}

Cases = dict[str, dict[str, Any]]


def refused(folder: Path, tasks: list[dict[str, Any]], cases: Cases, others: Cases | None = None) -> dict[str, str]:
    """The message to each case that was refused. A case is a host with its variables; `others` are not in the run."""
    groups = {
        "cases": {"hosts": {name: LOCAL | variables for name, variables in cases.items()}},
        "others": {"hosts": others or {}},
    }
    (folder / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}))
    (folder / "play.yml").write_text(json.dumps([{"hosts": "cases", "gather_facts": False, "tasks": tasks}]))
    environment = {
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        ["ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert set(report["stats"]) == set(cases), done.stderr
    assert not any(case["changed"] or case["unreachable"] for case in report["stats"].values())
    results = [task["hosts"] for play in report["plays"] for task in play["tasks"]]
    return {host: r["msg"] for hosts in results for host, r in hosts.items() if r.get("failed")}
