"""Refusals of the role api_endpoint before anything is installed; the role itself runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import refusals


def site(node_ip: str, **changed: Any) -> dict[str, Any]:
    servers = {"control1": node_ip, "control2": "192.0.2.12", "control3": "192.0.2.13"}
    known = {"api_endpoint_virtual_ip": "192.0.2.10", "api_endpoint_node_ip": node_ip, "api_endpoint_servers": servers}
    return known | changed


def test_an_address_moves_only_to_a_host_that_has_a_card_for_it(tmp_path: Path) -> None:
    cases = {
        "own address": site("127.0.0.1"),
        "another's address": site("192.0.2.11"),
        "not among the servers": site("127.0.0.1", api_endpoint_servers={"control2": "192.0.2.12"}),
        "a host's address to move": site("127.0.0.1", api_endpoint_virtual_ip="192.0.2.12"),
    }
    tasks = [{"ansible.builtin.import_role": {"name": "api_endpoint", "tasks_from": "preflight"}}]
    messages = refusals.refused(tmp_path, tasks, cases)
    assert set(messages) == set(cases) - {"own address"}
    assert (
        "Found no interface of another's address with api_endpoint_node_ip 192.0.2.11" in messages["another's address"]
    )
