"""The load balancer: Envoy forwards ports of 127.0.0.1 to the cluster's node ports, as a site's does."""

from __future__ import annotations

import json
from typing import Any

from lab.cluster import stack
from lab.hosts import inventory, podman
from lab.machine import ports
from lab.mirror import client
from lab.paths import LAB
from lab.shell import output

CONTAINER = "qwen-lab-edge"
MOUNTED = "/etc/envoy/envoy.json"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def node_ports() -> dict[int, int]:
    """Ports of this machine, each with the node port of the stack that it leads to."""
    settings = stack.committed()["config"]
    monitoring = settings["qwen-onprem:monitoring"]
    return {
        ports.GATEWAY: settings["qwen-onprem:gateway"]["service"]["nodePort"],
        ports.PROMETHEUS: monitoring["prometheusNodePort"],
        ports.ALERTMANAGER: monitoring["alertmanagerNodePort"],
    }


def configuration() -> str:
    """Envoy's configuration. It forwards bytes only: TLS, keys and errors are left to the gateway."""
    leads = node_ports().items()
    resources = {
        "listeners": [_listener(port) for port, _ in leads],
        "clusters": [_cluster(port, node_port) for port, node_port in leads],
    }
    return json.dumps({"static_resources": resources}, indent=1) + "\n"


def ensure(gateway_image: str) -> str | None:
    """Run the load balancer with the configuration for the inventory's hosts; None when it runs already."""
    config = LAB / "edge/envoy.json"
    wanted = configuration()
    if podman.alive(CONTAINER) and config.exists() and config.read_text() == wanted:
        return None
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(wanted)
    if CONTAINER in podman.containers():
        podman.remove(CONTAINER)
    output(
        *podman.RUN, "--detach", "--name", CONTAINER, "--network", "host",
        "--volume", f"{config}:{MOUNTED}:ro", client.local(gateway_image),
        "--config-path", MOUNTED, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
        env=client.environment(),
    )  # fmt: skip
    return "127.0.0.1: " + ", ".join(str(port) for port in node_ports())


def _listener(port: int) -> dict[str, Any]:
    proxy: dict[str, Any] = {"@type": TCP_PROXY, "stat_prefix": f"port-{port}", "cluster": f"port-{port}"}
    proxy |= {"max_connect_attempts": 4, "idle_timeout": "3600s"}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    return {"name": f"port-{port}", "address": _address("127.0.0.1", port), "filter_chains": [{"filters": filters}]}


def _cluster(port: int, node_port: int) -> dict[str, Any]:
    """Every host, of which those are asked that accept connections."""
    hosts = [{"endpoint": {"address": _address(address, node_port)}} for address in inventory.hosts().values()]
    check = {"timeout": "2s", "interval": "2s", "no_traffic_interval": "2s", "unhealthy_threshold": 3}
    return {
        "name": f"port-{port}",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": f"port-{port}", "endpoints": [{"lb_endpoints": hosts}]},
        "health_checks": [{**check, "healthy_threshold": 1, "tcp_health_check": {}}],
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
