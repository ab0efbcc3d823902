"""`make status`: hosts, nodes, pods, stack, endpoint and health at a glance."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

from lab.cluster import stack
from lab.cluster.ask import ENDPOINT
from lab.errors import LabError
from lab.hosts import podman
from lab.machine import ownership, ports
from lab.paths import API_KEY, BIN, KUBECONFIG, REPO, SUMMARY
from lab.shell import output


def status() -> int:
    """Print each part's state; returns 0 when every part answers, 1 when one does not or there is no lab."""
    if ownership.owner() is None:
        print("no lab on this machine: `make up` makes one")
        return 1
    other = ownership.foreign()
    if other:
        print(f"the lab on this machine belongs to another clone: {other}")
        return 1
    parts: list[tuple[str, Callable[[], str]]] = [
        ("hosts", _hosts),
        ("nodes", lambda: _kubectl("get", "nodes", "-o", "wide")),
        ("pods", lambda: _kubectl("get", "pods", "--all-namespaces", "-o", "wide")),
        ("stack", _stack),
        ("endpoint", _endpoint),
        ("health", _health),
        ("last up", _last_up),
    ]
    return max(_show(title, part) for title, part in parts)


def _show(title: str, part: Callable[[], str]) -> int:
    print(f"== {title}")
    try:
        print(part(), end="\n\n")
    except LabError as problem:
        print(problem, end="\n\n")
        return 1
    return 0


def _hosts() -> str:
    rows = [
        f"{name:<20}{'running' if podman.alive(name) else 'not running':<14}{container['Image']}"
        for name, container in sorted(podman.containers().items())
    ]
    return "\n".join(rows)


def _kubectl(*arguments: str) -> str:
    return output(BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--request-timeout", "5s", *arguments)


def _stack() -> str:
    deployment = json.loads(stack.pulumi("stack", "export"))["deployment"]
    resources = deployment.get("resources", [])
    return f"{stack.STACK}: {len(resources)} resources, last changed {deployment['manifest']['time'][:19]}Z"


def _endpoint() -> str:
    request = urllib.request.Request(
        f"{ENDPOINT}/models", headers={"Authorization": f"Bearer {API_KEY.read_text().strip()}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            models = [m["id"] for m in json.load(answer)["data"]]
    except (urllib.error.URLError, OSError) as problem:
        raise LabError(f"{ENDPOINT} does not answer: {problem}", "a list of models", "run `make up`") from problem
    return f"{ENDPOINT} serves {', '.join(models)}; API key in {API_KEY}"


def _health() -> str:
    prometheus = f"http://127.0.0.1:{ports.PROMETHEUS}"
    top = (sys.executable, "-m", "qwen_runtime", "top", "--line", "--prometheus", prometheus)
    return f"{output(*top, env={'PYTHONPATH': str(REPO / 'python/src')})}\n`make dashboards` draws it"


def _last_up() -> str:
    if not SUMMARY.exists():
        raise LabError("no `make up` has ended yet", "one that ended", "run `make up`: it goes on where it stopped")
    summary = json.loads(SUMMARY.read_text())
    return f"{summary['total_s']:.0f} s in all, longest: " + max(
        (f"{s['name']} {s['seconds']} s" for s in summary["steps"]), key=lambda row: float(row.split()[-2])
    )
