"""The step of the playbook, and what it reads from the recap."""

from __future__ import annotations

import pytest

from lab.cluster import site
from lab.errors import LabError

RECAP = """
PLAY RECAP *********************************************************************
cp1                        : ok=48   changed=22   unreachable=0    failed=0    skipped=13   rescued=0    ignored=0
gpu1                       : ok=62   changed=0    unreachable=0    failed=0    skipped=12   rescued=0    ignored=0
"""


def test_changed_tasks_are_counted_per_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "logged", lambda *_, **__: RECAP)
    assert site.converge(site_models=[]) == ({"cp1": 22, "gpu1": 0}, "cp1: changed=22, gpu1: changed=0")
    monkeypatch.setattr(site, "logged", lambda *_, **__: RECAP.replace("changed=22", "changed=0"))
    assert site.converge(site_models=[]) == ({"cp1": 0, "gpu1": 0}, None)


def test_a_playbook_without_a_recap_is_not_taken_for_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "logged", lambda *_, **__: "")
    with pytest.raises(LabError, match="no recap"):
        site.converge(site_models=[])
