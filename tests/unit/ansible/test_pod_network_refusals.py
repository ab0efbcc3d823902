"""A node is refused on which network policies would hold for half of the pods."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import refusals


def test_a_bridge_that_does_not_ask_the_firewall_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cat = tmp_path / "bin/cat"
    cat.parent.mkdir()
    cat.write_text('#!/bin/sh\nprintf %s "$BRIDGE"\n')
    cat.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cat.parent}:{os.environ['PATH']}")
    role = {"ansible.builtin.import_role": {"name": "pod_network", "tasks_from": "bridge"}}
    tasks = [{"block": [role], "environment": {"BRIDGE": "{{ bridge }}"}}]
    cases = {"asks": {"bridge": "1"}, "asks-not": {"bridge": "0"}, "no-module": {"bridge": ""}}
    messages = refusals.refused(tmp_path, tasks, cases)
    assert set(messages) == {"asks-not", "no-module"}
    assert "bridge-nf-call-iptables 0, needed 1" in messages["asks-not"]
    assert "br_netfilter is not loaded" in messages["no-module"]
