"""The processes of a run under the lab's strategy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cluster import site
from tests.unit.ansible.refusals import refused

# An action's arguments are templated in the process that serves the host.
TELL = {"ansible.builtin.fail": {"msg": "{{ lookup('ansible.builtin.file', '/proc/self/status') }}"}}


def processors(status: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))


def test_every_host_is_served_by_every_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_STRATEGY", "ANSIBLE_STRATEGY_PLUGINS"):
        monkeypatch.setenv(name, site.environment()[name])
    statuses = refused(tmp_path, [TELL], {"host1": {}, "host2": {}})
    available = processors(Path("/proc/self/status").read_text())
    assert {host: processors(status) for host, status in statuses.items()} == {"host1": available, "host2": available}


# Mitogen asks in each fork. What it found in the process that forks is there without a look at the disk.
ASK = """
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
import mitogen_linear, ansible.galaxy.collection, ansible_mitogen.planner, types
mitogen_linear.collections()
ansible.galaxy.collection.find_existing_collections = ansible.collections.list.find_existing_collections = None
invocation = types.SimpleNamespace(_extra_sys_paths=set())
ansible_mitogen.planner._load_collections(invocation)
print(*invocation._extra_sys_paths, sep="\\n")
"""


def test_the_installed_collections_are_listed_once_for_all_tasks_of_a_run() -> None:
    environment = site.environment()
    found = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, **environment, "PYTHONPATH": environment["ANSIBLE_STRATEGY_PLUGINS"]},
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert any(path.endswith("ansible_collections/qwen_onprem/hosts") for path in found.split()), found
