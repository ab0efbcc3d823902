"""The host is still what preflight accepted; preflight's own script and filters are asked again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_gpus import assess_gpus
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_host import assess_host
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_names import assess_names
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_network import assess_network
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_packages import assess_packages
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_plan import assess_plan
from qwen_runtime import plan
from testinfra.host import Host

from ..inventory import ROOT, Expected

PREFLIGHT = ROOT / "ansible/roles/preflight"


def ask(host: Host, script: str, question: dict[str, Any]) -> dict[str, Any]:
    text = Path(PREFLIGHT / "files" / script).read_text()
    answer: dict[str, Any] = json.loads(host.check_output("python3 -c %s %s", text, json.dumps(question)))
    return answer


@pytest.fixture(scope="module")
def found(host: Host, expected: Expected) -> dict[str, Any]:
    return ask(host, "inspect_host.py", expected["__preflight_question"])


def test_the_host_is_what_was_asked_for(node: str, found: dict[str, Any], expected: Expected) -> None:
    plans = [
        {"__preflight_plan_file": file, "rc": 0, "stdout": json.dumps(asdict(plan.read(Path(file))))}
        for file in expected["preflight_plan_files"]
    ]
    needed = expected["__preflight_needed"] | {"plans": plans}
    rows = assess_host(found, needed) + assess_packages(found, needed)
    rows += [row for assess in (assess_gpus, assess_plan) for row in assess({node: found}, node, needed)]
    assert [row for row in rows if not row["ok"]] == []


def test_the_host_is_connected_as_a_cluster_needs_it(host: Host, expected: Expected) -> None:
    connected = ask(host, "inspect_network.py", expected["__preflight_network_question"])
    rows = assess_network(connected, expected["__preflight_network_needed"]) + assess_names(connected)
    assert [row for row in rows if not row["ok"]] == []
