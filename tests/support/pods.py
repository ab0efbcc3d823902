"""The model servers of the lab, and the gateway's answer to a good request."""

from __future__ import annotations

import contextlib

from lab.cluster.stack import NAMESPACE
from lab.paths import BIN, KUBECONFIG
from lab.shell import attempt
from tests.support.client import COMPLETIONS, Client, Json

# A power cut leaves pods that failed, which the cluster keeps.
SELECTED = "labelSelector=app.kubernetes.io/name%3Dmodel-server&fieldSelector=status.phase%3DRunning"
GOOD: Json = {"prompt": "1, 2, 3, 4,", "max_tokens": 8, "temperature": 0}
# Network policies let nobody but the gateway and Prometheus connect to a model server, so it is asked inside its pod.
ASK = "import sys, urllib.request as request; sys.stdout.buffer.write(request.urlopen(sys.argv[1]).read())"


class Pods:
    """The model servers; `api` is the cluster's."""

    def __init__(self, api: Client) -> None:
        self._api = api

    def names(self) -> list[str]:
        status, listing = self._api.ask(f"/api/v1/namespaces/{NAMESPACE}/pods?{SELECTED}")
        assert status == 200, listing
        return [pod["metadata"]["name"] for pod in listing["items"]]

    def read(self, pod: str, path: str) -> str:
        inside = ("exec", pod, "--container=model-server", "--", "python3", "-c", ASK, f"http://127.0.0.1:8080{path}")
        asked = attempt(BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE, *inside)
        assert asked.returncode == 0, f"{pod} does not answer {path}: {asked.stderr}"
        return asked.stdout

    def metric(self, name: str) -> float:
        """Sum over all model servers."""
        return sum(_samples(self.read(pod, "/metrics"), name) for pod in self.names())

    def engines(self) -> dict[str, float]:
        """Start of each pod's engine, to a hundredth of a second; another time means another process."""
        return {pod: _samples(self.read(pod, "/metrics"), "process_start_time_seconds") for pod in self.names()}

    def find_engines(self) -> dict[str, float] | None:
        """Like engines(), but None while one of them does not answer."""
        with contextlib.suppress(AssertionError):
            return self.engines()
        return None


def _samples(metrics: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith((f"{name}{{", f"{name} ")))


def answer(gateway: Client) -> str:
    status, completion = gateway.ask(COMPLETIONS, GOOD)
    assert status == 200, completion
    return completion["choices"][0]["text"]
