"""The load balancer leads from every port of this machine to every host."""

from __future__ import annotations

from lab.cluster import edge
from lab.hosts import inventory
from lab.machine import ports


def test_every_port_of_the_edge_leads_to_every_host() -> None:
    text = edge.configuration()
    assert edge.node_ports().keys() == ports.USES.keys()
    for port, node_port in edge.node_ports().items():
        assert f"bind 127.0.0.1:{port}\n" in text
        for address in inventory.hosts().values():
            assert f"{address}:{node_port} " in text
