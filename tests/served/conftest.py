"""The lab's gateway, and the engine processes behind it: after each test they are the same, and answer as before."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster.ask import ENDPOINT
from lab.paths import API_KEY, BIN, KUBECONFIG
from tests.support.client import Client
from tests.support.pods import Pods, answer
from tests.support.waiting import wait_for_engine

GATEWAY_PORT = int(ENDPOINT.removesuffix("/v1").rpartition(":")[2])


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
    """The API as the served engine documents it."""
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
        known["engines"] = wait_for_engine(pods.find_engines, "the engines' return")  # the next test begins anew
        raise
