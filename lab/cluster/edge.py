"""The load balancer: HAProxy forwards ports of 127.0.0.1 to the cluster's node ports, as a site's does."""

from __future__ import annotations

from lab.cluster import stack
from lab.hosts import inventory, podman
from lab.machine import ports
from lab.mirror import client
from lab.paths import LAB
from lab.shell import output

CONTAINER = "qwen-lab-edge"


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
    """HAProxy's configuration. In TCP mode it sees bytes only: TLS, keys and errors are left to the gateway."""
    lines = ["defaults", "  mode tcp", "  timeout connect 2s", "  timeout client 1h", "  timeout server 1h"]
    hosts = inventory.hosts()
    for port, node_port in node_ports().items():
        lines += [f"listen port-{port}", f"  bind 127.0.0.1:{port}", "  option redispatch", "  retries 3"]
        lines += [f"  server {host} {address}:{node_port} check inter 2s" for host, address in hosts.items()]
    return "\n".join(lines) + "\n"


def ensure(gateway_image: str) -> str | None:
    """Run the load balancer with the configuration for the inventory's hosts; None when it runs already."""
    config = LAB / "edge/haproxy.cfg"
    wanted = configuration()
    if podman.alive(CONTAINER) and config.exists() and config.read_text() == wanted:
        return None
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(wanted)
    if CONTAINER in podman.containers():
        podman.remove(CONTAINER)
    output(
        *podman.RUN, "--detach", "--name", CONTAINER, "--network", "host",
        "--volume", f"{config}:/etc/haproxy/haproxy.cfg:ro", client.local(gateway_image), env=client.environment(),
    )  # fmt: skip
    return "127.0.0.1: " + ", ".join(str(port) for port in node_ports())
