"""The lab's gateway, and the engine processes behind it: after each test they are the same, and answer as before."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster.ask import ENDPOINT
from lab.cluster.stack import NAMESPACE
from lab.paths import API_KEY, BIN, KUBECONFIG
from tests.engines.transformers.served import Client, Json, wait_until
from tests.served.fields import COMPLETIONS

LABEL = "app.kubernetes.io/name%3Dmodel-server"
GOOD: Json = {"prompt": "1, 2, 3, 4,", "max_tokens": 8, "temperature": 0}
GATEWAY_PORT = int(ENDPOINT.removesuffix("/v1").rpartition(":")[2])


class Pods:
    """The model servers as the cluster's API shows them, each by itself."""

    def __init__(self, api: Client) -> None:
        self._api = api

    def names(self) -> list[str]:
        status, found = self._api.ask(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={LABEL}")
        assert status == 200, found
        return [pod["metadata"]["name"] for pod in found["items"]]

    def read(self, pod: str, path: str) -> str:
        status, _, text = self._api.exchange(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy{path}")
        assert status == 200, f"{pod} does not answer {path}: {status} {text!r}"
        return text.decode()

    def metric(self, name: str) -> float:
        """Sum over all of them."""
        return sum(_samples(self.read(pod, "/metrics"), name) for pod in self.names())

    def engines(self) -> dict[str, float]:
        """When the engine of each began, to a hundredth of a second: another time is another process."""
        return {pod: _samples(self.read(pod, "/metrics"), "process_start_time_seconds") for pod in self.names()}

    def find_engines(self) -> dict[str, float] | None:
        """The same; None while one of them does not answer."""
        with contextlib.suppress(AssertionError):
            return self.engines()
        return None


def _samples(metrics: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith((f"{name}{{", f"{name} ")))


@pytest.fixture(scope="session")
def pods() -> Iterator[Pods]:
    if not KUBECONFIG.exists():
        pytest.skip(f"no lab is up: {KUBECONFIG} is missing")
    command = [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "proxy", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        port = proxy.stdout.readline().strip().rpartition(":")[2]  # Starting to serve on 127.0.0.1:PORT
        yield Pods(Client(int(port)))
        proxy.terminate()


@pytest.fixture(scope="session")
def gateway(pods: Pods) -> Client:
    return Client(GATEWAY_PORT, API_KEY.read_text().strip())


@pytest.fixture(scope="session")
def schema(pods: Pods) -> dict[str, Any]:
    """What the served engine documents of its API."""
    return json.loads(pods.read(pods.names()[0], "/openapi.json"))


@pytest.fixture(scope="session")
def known(pods: Pods, gateway: Client) -> dict[str, Any]:
    """The engines, and how they answer a good request; each test leaves both as it found them."""
    return {"engines": pods.engines(), "answer": answer(gateway)}


@pytest.fixture
def served(gateway: Client, pods: Pods, known: dict[str, Any]) -> Iterator[Client]:
    yield gateway
    try:
        assert answer(gateway) == known["answer"]
        assert pods.engines() == known["engines"], "an engine ended and another one was started"
    except AssertionError:
        known["engines"] = wait_until(pods.find_engines, "the engines' return")  # the next test begins anew
        raise


def answer(gateway: Client) -> str:
    status, told = gateway.ask(COMPLETIONS, GOOD)
    assert status == 200, told
    return told["choices"][0]["text"]
