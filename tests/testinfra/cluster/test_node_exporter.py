"""A host tells its measurements at its own address, and a program's own file of measurements is told with them."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from ..inventory import Expected

ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


@pytest.fixture
def told(host: Host, expected: Expected) -> str:
    address = f"http://{expected['node_exporter_address']}:{expected['node_exporter_port']}/metrics"
    return host.check_output("python3 -c %s %s", ASK, address)


def test_disks_memory_network_cards_and_services_are_told(host: Host, expected: Expected, told: str) -> None:
    card = host.check_output("ip -oneline address show to %s", expected["node_exporter_address"]).split()[1]
    for series in (
        "node_filesystem_avail_bytes{",
        "node_memory_MemAvailable_bytes ",
        f'node_network_up{{device="{card}"}} 1',
        'node_systemd_unit_state{name="containerd.service",state="active"',
    ):
        assert series in told, series


def test_every_collector_works(told: str) -> None:
    failed = [
        line for line in told.splitlines() if line.startswith("node_scrape_collector_success") and line[-1] == "0"
    ]
    # What the host has none of is no failure of the exporter: arrays, InfiniBand and errors of memory modules.
    assert not [line for line in failed if not any(name in line for name in ("mdadm", "infiniband", "edac"))]


def test_mounts_of_pods_and_cards_of_pods_are_left_out(told: str) -> None:
    assert "/var/lib/kubelet/" not in told
    assert 'device="veth' not in told


def test_it_listens_at_the_hosts_own_address_alone(host: Host, expected: Expected) -> None:
    port = expected["node_exporter_port"]
    listening = host.check_output(f"ss --listening --tcp --numeric --no-header 'sport = :{port}'")
    assert [line.split()[3] for line in listening.splitlines()] == [f"{expected['node_exporter_address']}:{port}"]


def test_it_runs_without_rights(host: Host) -> None:
    unit = "prometheus-node-exporter.service"
    assert host.check_output("systemctl show %s --property User --value", unit) == "prometheus"
    assert host.service(unit).is_enabled
