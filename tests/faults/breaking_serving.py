"""Ways to break what serves: a crowded gateway, an engine that ends again and again, a deployment without a pod."""

from __future__ import annotations

import subprocess
from functools import partial

from lab.cluster.stack import NAMESPACE
from tests.faults import asking, rules_of_prometheus
from tests.faults.alert_receiver import Kubectl
from tests.faults.breaking import kill_engines
from tests.faults.story import Fault
from tests.support.waiting import wait_until

# Above four fifths of gateway.maxConnections, and below all of it.
MANY_CONNECTIONS = 230
BACK_OFF_S = 120


def crowded() -> Fault:
    connections = asking.Connections()
    return Fault(
        f"{MANY_CONNECTIONS} connections to one gateway",
        ("GatewayFull",),
        lambda: connections.open(MANY_CONNECTIONS),
        connections.close,
    )


def starts_again_and_again(kubectl: Kubectl, server: str) -> Fault:
    return Fault("SIGKILL to an engine, three times", ("EngineRestarts",), lambda: _kill(kubectl, server, 3))


def _kill(kubectl: Kubectl, server: str, times: int) -> None:
    for _ in range(times):
        known = {"", _started(server)}
        wait_until(partial(_killed, kubectl, server), f"the end of {server}", BACK_OFF_S)
        wait_until(partial(_started_anew, server, known), f"the next start of {server}", BACK_OFF_S)


def _started(server: str) -> str:
    """Time of the last start that Prometheus knows, as it writes numbers; empty where it knows none."""
    found = rules_of_prometheus.ask("query", query=f'max(serving:started_at:seconds{{server="{server}"}})')["result"]
    return str(found[0]["value"][1]) if found else ""


def _started_anew(server: str, known: set[str]) -> bool:
    return _started(server) not in known


def _killed(kubectl: Kubectl, server: str) -> bool:
    """Whether there was an engine to end: between two starts there is none."""
    try:
        kill_engines(kubectl, server)
    except subprocess.CalledProcessError:
        return False
    return True


def gone(kubectl: Kubectl, deployment: str) -> None:
    """Let no pod of a deployment be left."""
    named, pods = ("--namespace", NAMESPACE), f"--selector=app.kubernetes.io/name={deployment}"
    kubectl(*named, "scale", f"deployment/{deployment}", "--replicas=0")
    kubectl(*named, "wait", "pods", pods, "--for=delete", "--timeout=120s")
