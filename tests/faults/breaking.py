"""Ways to break the lab's hosts, pods and policies, each with the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.cluster.stack import NAMESPACE
from lab.hosts import inventory, rack
from lab.shell import output
from tests.faults.alert_receiver import Kubectl
from tests.faults.story import Fault

GPU_HOST, CONTROL_PLANE = next(iter(inventory.hosts("gpu"))), next(iter(inventory.hosts("control_plane")))
TEXT_DIR = "/var/lib/node-metrics"
FULL, READ_ONLY, CARD = "/srv/small", "/srv/other", "spare0"
# The engine is the only child of the supervisor, which is the first process of the container.
KILL = """
import os, sys
killed = 0
for process in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{process}/stat") as file:
        if file.read().rsplit(")", 1)[1].split()[1] == "1":
            os.kill(int(process), 9)
            killed += 1
sys.exit(not killed)
"""


def on_host(host: str, *commands: str) -> str:
    """Runs the commands as root, whether the host's network works or not."""
    return output("podman", "exec", f"{rack.PREFIX}{host}", "bash", "-ec", "; ".join(commands))


def by_commands(host: str, cause: str, alerts: tuple[str, ...], breaks: str, mend: str) -> Fault:
    return Fault(cause, alerts, lambda: on_host(host, breaks), lambda: on_host(host, mend))


@contextmanager
def spare_parts() -> Iterator[None]:
    """Two small file systems and a network card with a link at the GPU host, for as long as the block lasts."""
    away = (
        *(f"mountpoint --quiet {path} && umount {path} || true" for path in (FULL, READ_ONLY)),
        f"ip link delete {CARD} 2> /dev/null || true",
    )
    on_host(GPU_HOST, *away)
    on_host(
        GPU_HOST,
        *(f"mkdir --parents {path} && mount -t tmpfs -o size=4m {path[5:]} {path}" for path in (FULL, READ_ONLY)),
        f"ip link add {CARD} up type veth peer name {CARD}b",
        f"ip link set {CARD}b up",
        # systemd of a real host passes mounts on to services that run; that of a container does not.
        "systemctl restart prometheus-node-exporter",
    )
    try:
        yield
    finally:
        on_host(GPU_HOST, *away)


def parts_of_a_host() -> tuple[Fault, ...]:
    """Faults of the spare parts, and of an array that the kernel of the lab's machine cannot make."""
    array = f"{TEXT_DIR}/raid.prom"
    missing = r'printf "node_md_disks_required{device=\"md0\"} 2\nnode_md_disks{device=\"md0\",state=\"active\"} 1\n"'
    return (
        by_commands(
            GPU_HOST,
            "a file system of 4 MB filled",
            ("DiskFull",),
            f"dd if=/dev/zero of={FULL}/filled bs=1M 2> /dev/null || true",
            f"rm --force {FULL}/filled",
        ),
        by_commands(
            GPU_HOST,
            "a file system became read-only",
            ("DiskFailed",),
            f"mount -o remount,ro {READ_ONLY}",
            f"mountpoint --quiet {READ_ONLY} && mount -o remount,rw {READ_ONLY} || true",
        ),
        by_commands(
            GPU_HOST,
            "a network card lost its link",
            ("NicDown",),
            f"ip link set {CARD}b down",
            f"ip link set {CARD}b up 2> /dev/null || true",
        ),
        by_commands(
            GPU_HOST,
            "an array with one drive of two (a stand-in's series)",
            ("RaidDegraded",),
            f"{missing} > {array}.new && mv {array}.new {array}",
            f"rm --force {array}",
        ),
    )


def control_plane_stops() -> Fault:
    """etcd ends while nobody is there who starts it again, and all that needs it. It is mended when the API answers."""
    answers = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 5s get --raw /readyz"
    return by_commands(
        CONTROL_PLANE,
        "the kubelet stopped, then etcd killed",
        ("EtcdDown",),
        "systemctl stop kubelet; kill -9 $(pidof etcd)",
        f"systemctl start kubelet; timeout 240 sh -c 'until {answers}; do sleep 1; done' > /dev/null 2>&1",
    )


def scaled(kubectl: Kubectl, deployment: str, alerts: tuple[str, ...], cause: str, *, to: int, back: int) -> Fault:
    """A deployment with another number of replicas."""
    return Fault(
        cause,
        alerts,
        lambda: scale(kubectl, deployment, to),
        lambda: scale(kubectl, deployment, back),
    )


def scale(kubectl: Kubectl, deployment: str, replicas: int) -> None:
    kubectl("--namespace", NAMESPACE, "scale", f"deployment/{deployment}", f"--replicas={replicas}")


def closed(kubectl: Kubectl, policy: str, direction: str, alerts: tuple[str, ...], cause: str) -> Fault:
    """A network policy that lets nothing through in one direction, `ingress` or `egress`."""
    named = ("--namespace", NAMESPACE)
    allowed = json.loads(kubectl(*named, "get", f"networkpolicy/{policy}", "--output=json"))["spec"][direction]

    def say(rules: list[Any]) -> None:
        patch = json.dumps([{"op": "replace", "path": f"/spec/{direction}", "value": rules}])
        kubectl(*named, "patch", f"networkpolicy/{policy}", "--type=json", "--patch", patch)

    return Fault(cause, alerts, lambda: say([]), lambda: say(allowed))


def kill_engines(kubectl: Kubectl, server: str) -> None:
    """End the engine of each pod. Pods that a power cut left as failed stay in the list, and nothing runs in them."""
    which = (f"--selector=app.kubernetes.io/name={server}", "--field-selector=status.phase=Running")
    for pod in json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", *which, "--output=json"))["items"]:
        kubectl("--namespace", NAMESPACE, "exec", pod["metadata"]["name"], "--", "python3", "-c", KILL)
