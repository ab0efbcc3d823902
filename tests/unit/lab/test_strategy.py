"""The processes of a run under the lab's strategy."""

from __future__ import annotations

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
