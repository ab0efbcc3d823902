"""The playbook's recap, the load balancer's configuration and the names of models."""

from __future__ import annotations

import pytest

from lab.cluster import edge, site
from lab.errors import LabError
from lab.hosts import inventory
from lab.mirror import models

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


def test_every_port_of_the_edge_leads_to_every_host() -> None:
    text = edge.configuration()
    for port, node_port in edge.node_ports().items():
        assert f"bind 127.0.0.1:{port}\n" in text
        for address in inventory.hosts().values():
            assert f"{address}:{node_port} " in text


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    assert models.resolve("smollm2") == "smollm2-135m-instruct"
    with pytest.raises(LabError, match=r"qwen2\.5-coder-1\.5b"):
        models.resolve("gpt-5")
