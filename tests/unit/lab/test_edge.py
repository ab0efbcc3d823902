"""The load balancer leads from every port of this machine to every host."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.cluster import edge
from lab.hosts import inventory
from lab.machine import ports


def test_every_port_of_the_edge_leads_to_every_host() -> None:
    resources = json.loads(edge.configuration())["static_resources"]
    assert edge.node_ports().keys() == ports.USES.keys()
    listeners = {listener["name"]: listener["address"]["socket_address"] for listener in resources["listeners"]}
    clusters = {cluster["name"]: cluster["load_assignment"]["endpoints"] for cluster in resources["clusters"]}
    for port, node_port in edge.node_ports().items():
        assert listeners[f"port-{port}"] == {"address": "127.0.0.1", "port_value": port}
        [endpoints] = clusters[f"port-{port}"]
        leads = [host["endpoint"]["address"]["socket_address"] for host in endpoints["lb_endpoints"]]
        assert leads == [{"address": address, "port_value": node_port} for address in inventory.hosts().values()]


@pytest.mark.skipif(shutil.which("envoy") is None, reason="envoy is not on PATH: `python3 -m lab run` brings it")
def test_envoy_accepts_the_configuration_of_the_edge(tmp_path: Path) -> None:
    (tmp_path / "envoy.json").write_text(edge.configuration())
    command = ("envoy", "--mode", "validate", "--config-path", str(tmp_path / "envoy.json"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
