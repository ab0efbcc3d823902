"""preflight judges a host's name, address, networks, name servers and time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_names import assess_names
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_network import assess_network

from .by_path import ROLES, load
from .rendering import evaluate

inspect_network = load("preflight/files/inspect_network.py")

CONTROL_PLANE = ["10.20.0.11", "10.20.0.12", "10.20.0.13"]
MACS = dict(zip(CONTROL_PLANE, ["02:00:0a:14:00:0b", "02:00:0a:14:00:0c", "02:00:0a:14:00:0d"], strict=True))
NEEDED: dict[str, Any] = {
    "node_name": "control1",
    "node_address": "10.20.0.11",
    "internal_networks": {"pod network": "10.244.0.0/16", "service network": "10.96.0.0/12"},
    "virtual_address": "10.20.0.10",
    "virtual_address_hosts": CONTROL_PLANE,
}


def control1() -> dict[str, Any]:
    """Answer of inspect_network.py on a server with a management card that has the default route."""
    return {
        "addresses": {"127.0.0.1/8": "lo", "192.0.2.11/24": "eno1", "10.20.0.11/24": "bond0"},
        "routes": [
            {"to": "192.0.2.0/24", "interface": "eno1", "connected": True},
            {"to": "10.20.0.0/24", "interface": "bond0", "connected": True},
            {"to": "10.0.0.0/8", "interface": "bond0", "connected": False},
        ],
        "name_servers": {"/etc/resolv.conf": ["127.0.0.53"], "/run/systemd/resolve/resolv.conf": ["192.0.2.53"]},
        "names": {"mirror.example.internal": ["192.0.2.3"], "ntp1.example.internal": ["192.0.2.4"]},
        "time_servers": {"ntp1.example.internal": ""},
        "holders": {"10.20.0.10": [], **{address: [mac] for address, mac in MACS.items()}},
    }


def failures(answer: dict[str, Any], **changed: Any) -> dict[str, str]:
    """Name of each failed row to what was found."""
    rows = assess_network(answer, NEEDED | changed) + assess_names(answer)
    assert all(row["needed"] and row["remedy"] for row in rows)
    return {row["name"]: row["found"] for row in rows if not row["ok"]}


def test_a_sound_server_passes() -> None:
    assert failures(control1()) == {}


def test_a_host_that_is_a_node_already_passes() -> None:
    answer = control1()
    answer["addresses"] |= {"10.244.0.1/24": "cni0", "10.244.0.0/32": "flannel.1", "10.20.0.10/32": "bond0"}
    answer["routes"] += [
        {"to": "10.244.0.0/24", "interface": "cni0", "connected": True},
        {"to": "10.244.1.0/24", "interface": "flannel.1", "connected": False},
    ]
    assert failures(answer) == {}


def test_a_host_of_which_nothing_was_said_passes() -> None:
    nothing = {"node_address": "", "internal_networks": {"pod network": ""}, "virtual_address": ""}
    assert failures(control1() | {"names": {}, "time_servers": {}, "name_servers": {}}, **nothing) == {}


@pytest.mark.parametrize("name", ["dgx1", "dgx-1", "dgx1.example.internal", "1", "a" * 63])
def test_names_that_kubernetes_gives_nodes_pass(name: str) -> None:
    assert failures(control1(), node_name=name) == {}


@pytest.mark.parametrize("name", ["DGX1", "dgx_1", "dgx1.", "-dgx", "dgx1-", "dgx..1", "a" * 64, "", "dgx1\n"])
def test_a_name_that_kubernetes_would_refuse_is_refused_before(name: str) -> None:
    assert set(failures(control1(), node_name=name)) == {"node name"}


def test_an_address_that_no_card_has_is_refused_with_those_that_there_are() -> None:
    named = failures(control1(), node_address="10.20.0.99", virtual_address="")
    assert named == {"node address": "192.0.2.11/24 on eno1, 10.20.0.11/24 on bond0"}


def test_a_node_network_inside_the_pod_network_is_refused() -> None:
    named = failures(control1(), internal_networks={"pod network": "10.0.0.0/8"}, virtual_address="")
    assert named == {"pod network": "10.0.0.0/8 with 10.20.0.0/24 of bond0, 10.0.0.0/8 of bond0 in it"}


def test_another_cards_network_inside_the_service_network_is_refused() -> None:
    answer = control1()
    answer["routes"].append({"to": "10.100.4.0/24", "interface": "ib0", "connected": True})
    assert failures(answer) == {"service network": "10.96.0.0/12 with 10.100.4.0/24 of ib0 in it"}


def test_a_network_behind_a_gateway_counts_where_it_lies_inside() -> None:
    answer = control1()
    answer["routes"].append({"to": "10.244.7.0/24", "interface": "bond0", "connected": False})
    assert failures(answer) == {"pod network": "10.244.0.0/16 with 10.244.7.0/24 of bond0 in it"}


def test_a_mirror_inside_the_pod_network_is_refused_by_its_name_or_its_address() -> None:
    answer = control1() | {"names": {"mirror.example.internal": ["10.244.3.2"], "10.97.0.9": ["10.97.0.9"]}}
    assert failures(answer) == {
        "pod network": "10.244.0.0/16 with mirror.example.internal (10.244.3.2) in it",
        "service network": "10.96.0.0/12 with 10.97.0.9 in it",
    }


def test_networks_of_the_cluster_that_overlap_are_refused() -> None:
    named = failures(control1(), internal_networks={"pod network": "10.96.0.0/16", "service network": "10.96.0.0/12"})
    assert named["pod network"] == "10.96.0.0/16 with the service network 10.96.0.0/12 in it"


def test_a_name_that_does_not_resolve_is_refused() -> None:
    answer = control1() | {"names": {"miror.example.internal": []}}
    assert failures(answer) == {"name miror.example.internal": "no address"}


def test_name_servers_that_pods_cannot_reach_are_refused() -> None:
    answer = control1() | {"name_servers": {"/etc/resolv.conf": ["127.0.0.53", "::1"]}}
    assert failures(answer) == {"name servers": "127.0.0.53, ::1"}


def test_one_time_server_that_answers_will_do() -> None:
    silent = {"ntp1": "does not answer", "ntp2": "has no time itself"}
    assert failures(control1() | {"time_servers": silent | {"ntp3": ""}}) == {}
    assert failures(control1() | {"time_servers": silent}) == {
        "time servers": "ntp1 does not answer; ntp2 has no time itself"
    }


@pytest.mark.parametrize("address", ["10.20.1.10", "10.20.0.12", "api.example.internal"])
def test_an_api_address_that_cannot_move_there_is_refused(address: str) -> None:
    assert set(failures(control1(), virtual_address=address)) == {"API address"}


def test_an_api_address_that_somebody_else_has_is_refused_with_who() -> None:
    answer = control1()
    answer["holders"]["10.20.0.10"] = ["b8:27:eb:00:00:01"]
    assert failures(answer) == {"holder of the API address": "10.20.0.10 at b8:27:eb:00:00:01"}


def test_an_api_address_at_another_host_of_the_control_plane_is_ours() -> None:
    answer = control1()
    answer["holders"]["10.20.0.10"] = [MACS["10.20.0.12"]]
    assert failures(answer) == {}


ALONE = ("unshare", "--user", "--map-root-user", "--net")
CARDS = """
ip link set lo up; ip link add eno1 type veth peer name other
for card in eno1 other; do ip link set $card up; done
ip address add 10.20.0.11/24 dev eno1; ip address add 10.20.0.10/24 dev other
exec "$@"
"""


def test_a_host_tells_its_cards_and_who_has_an_address(tmp_path: Path) -> None:
    """The test has two cards of its own that are joined by a cable."""
    question = {"node_address": "10.20.0.11", "names": ["localhost"], "time_servers": ["127.0.0.1"]}
    question |= {"probed": ["10.20.0.10", "10.20.0.77", "control2.example.internal"]}
    script = ROLES / "preflight/files/inspect_network.py"
    done = subprocess.run(
        [*ALONE, "sh", "-ec", CARDS, "-", sys.executable, script, json.dumps(question)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["addresses"]["10.20.0.11/24"] == "eno1"
    assert {"to": "10.20.0.0/24", "interface": "eno1", "connected": True} in answer["routes"]
    assert "127.0.0.1" in answer["names"]["localhost"]
    assert answer["time_servers"] == {"127.0.0.1": "does not answer"}
    assert len(answer["holders"]["10.20.0.10"]) == 1
    assert answer["holders"]["10.20.0.77"] == []
    assert "control2.example.internal" not in answer["holders"], (
        "a name is no address, and its host is refused for that"
    )


def test_a_time_server_is_believed_when_it_stands_by_its_time() -> None:
    server = "import socket,sys\ns=socket.socket(2,2);s.bind(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
    server += "for head in (b'\\x24\\x02', b'\\xe4\\x00'):\n a=s.recvfrom(512)[1];s.sendto(head+bytes(46),a)\n"
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True) as answering:
        assert answering.stdout is not None
        port = int(answering.stdout.readline())
        assert inspect_network.ask_time("127.0.0.1", port) == ""
        assert inspect_network.ask_time("127.0.0.1", port) == "has no time itself"


def test_servers_are_asked_for_by_name_whatever_url_they_have() -> None:
    servers = [
        "https://mirror.example.internal:8443/apt",
        "registry.example.internal:5000",
        "10.20.0.5",
        "file:/srv/apt",
    ]
    question = evaluate(
        "preflight",
        "__preflight_network_question",
        preflight_servers=servers,
        preflight_time_servers=["ntp1.example.internal"],
        preflight_virtual_address="10.20.0.10",
        preflight_virtual_address_hosts=CONTROL_PLANE,
    )
    assert question["names"] == [
        *("mirror.example.internal", "registry.example.internal", "10.20.0.5", "ntp1.example.internal")
    ]
    assert question["probed"] == ["10.20.0.10", *CONTROL_PLANE]
