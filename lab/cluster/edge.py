"""The way in from this machine: loopback ports carried to the cluster's node ports, as a site's load balancer does."""

from __future__ import annotations

from lab.hosts import podman, rack
from lab.mirror.server import client, local
from lab.paths import LAB
from lab.shell import output

CONTAINER = "qwen-lab-edge"
# loopback port -> node port; the node ports stand in pulumi/Pulumi.local.yaml
PORTS = {8080: 30080, 9090: 30090, 9093: 30093}


def configuration() -> str:
    """HAProxy in TCP mode: it sees bytes only, so that TLS, keys and errors stay the gateway's business."""
    lines = ["defaults", "  mode tcp", "  timeout connect 2s", "  timeout client 1h", "  timeout server 1h"]
    for port, node_port in PORTS.items():
        lines += [f"listen port-{port}", f"  bind 127.0.0.1:{port}", "  option redispatch", "  retries 3"]
        lines += [f"  server {name} {address}:{node_port} check inter 2s" for name, address in rack.inventory().items()]
    return "\n".join(lines) + "\n"


def ensure(gateway_image: str) -> str | None:
    """Have the edge running with the configuration that the inventory asks for."""
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
        "--volume", f"{config}:/etc/haproxy/haproxy.cfg:ro", local(gateway_image), env=client(),
    )  # fmt: skip
    return "127.0.0.1: " + ", ".join(str(p) for p in PORTS)
