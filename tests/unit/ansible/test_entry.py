"""The virtual address serves clients too, and neither they nor the API's users keep the other out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from . import refusals
from .rendering import evaluate, render

ROOT = Path(__file__).parents[3]
SERVERS = {"control1": "10.20.0.11", "dgx1": "10.20.0.21"}
GATEWAY = {"name": "gateway", "port": 443, "server_port": 30443, "servers": SERVERS}
NETWORK = {"api_endpoint_virtual_ip": "10.20.0.10", "api_endpoint_servers": {"control1": "10.20.0.11"}}


def sections(*forwards: Any) -> dict[str, list[str]]:
    """Lines of the proxy's configuration by the first line of their section."""
    text = render("api_endpoint/templates/haproxy.cfg.j2", api_endpoint_forwards=list(forwards), **NETWORK)
    parts = re.split(r"^(?=\w)", re.sub(r"(?m)^ *#.*\n", "", text), flags=re.MULTILINE)
    return {
        part.splitlines()[0]: [line.strip() for line in part.splitlines()[1:] if line.strip()] for part in parts[1:]
    }


def limit(lines: list[str]) -> int:
    [number] = [int(line.split()[1]) for line in lines if line.startswith("maxconn ")]
    return number


def test_connections_at_the_clients_port_go_to_every_node_that_accepts_them() -> None:
    configuration = sections(GATEWAY)
    assert "bind :443" in configuration["frontend gateway"]
    assert "default_backend gateway" in configuration["frontend gateway"]
    backend = configuration["backend gateway"]
    assert {"server control1 10.20.0.11:30443", "server dgx1 10.20.0.21:30443"} <= set(backend)
    [every] = [line for line in backend if line.startswith("default-server ")]
    assert " check " in every
    assert "on-marked-down shutdown-sessions" in every, "a stream through a host that died ends instead of hanging"


def test_each_frontend_has_connections_of_its_own() -> None:
    configuration = sections({**GATEWAY, "max_connections": 5000})
    assert limit(configuration["frontend gateway"]) == 5000
    shares = [limit(lines) for name, lines in configuration.items() if name.startswith("frontend")]
    assert limit(configuration["global"]) == sum(shares)


def test_without_forwards_only_the_api_is_at_the_address() -> None:
    assert [name for name in sections() if name.startswith(("frontend", "backend"))] == ["frontend api", "backend api"]


def test_forwards_that_cannot_listen_are_refused(tmp_path: Path) -> None:
    site = {**NETWORK, "api_endpoint_node_ip": "127.0.0.1", "api_endpoint_servers": {"control1": "127.0.0.1"}}
    forwards = {
        "good": [GATEWAY],
        "the API's port": [{**GATEWAY, "port": 8443}],
        "a port twice": [GATEWAY, {**GATEWAY, "name": "other"}],
        "a name twice": [GATEWAY, {**GATEWAY, "port": 444}],
        "the API's name": [{**GATEWAY, "name": "api"}],
        "no server": [{**GATEWAY, "servers": {}}],
    }
    cases = {name: {**site, "api_endpoint_forwards": value} for name, value in forwards.items()}
    tasks = [{"ansible.builtin.import_role": {"name": "api_endpoint", "tasks_from": "preflight"}}]
    messages = refusals.refused(tmp_path, tasks, cases)
    assert set(messages) == set(forwards) - {"good"}
    assert "api_endpoint_forwards" in messages["no server"]


def test_the_examples_stack_inventory_and_firewall_name_the_same_ports() -> None:
    stack = yaml.safe_load((ROOT / "pulumi/Pulumi.example.yaml").read_text())["config"]["qwen-onprem:gateway"]
    group_vars = ROOT / "inventory/example/group_vars"
    forwards = yaml.safe_load((group_vars / "control_plane/api_endpoint.yml").read_text())["api_endpoint_forwards"]
    rules = yaml.safe_load((group_vars / "cluster/hardening.yml").read_text())["hardening_firewall_allowed"]
    [gateway] = [forward for forward in forwards if forward["name"] == "gateway"]
    assert stack["service"] == {"type": "NodePort", "nodePort": gateway["server_port"]}
    assert [rule["ports"] for rule in rules if rule["name"] == "gateway"] == [[gateway["port"]]]
    assert gateway["port"] not in evaluate("api_endpoint", "[api_endpoint_port, api_endpoint_server_port]")
