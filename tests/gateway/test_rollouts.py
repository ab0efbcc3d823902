"""A rolling change behind a real gateway: replicas end and start one after the other while clients use them."""

from __future__ import annotations

import http.client
import subprocess
import time
from contextlib import AbstractContextManager

import pytest

from qwen_stack.specs import model_server
from tests.support.load import Load, repeated

from .site import CHAT, ONE, TWO, Site, eventually, needs_envoy

pytestmark = needs_envoy
STREAM_S = 2
# `qwen-runtime serve --settle-seconds`: a replica that ends still answers new requests for this long.
SETTLE_S = 5
LONGEST_GAP_S = 0.1


class People:
    """Two clients that stream and one that asks, without a pause and without retries."""

    def __init__(self, site: Site) -> None:
        self.load = Load(AssertionError, OSError, http.client.HTTPException)
        self._site = site

    def ask(self) -> None:
        answer = self._site.ask(CHAT, {"n": 1})
        assert answer.status == 200, f"not begun: {answer.status}"

    def stream(self) -> None:
        with self._site.stream(timeout_s=60) as response:
            assert response.status == 200, f"not begun: {response.status}"
            assert response.read().rstrip().endswith(b"[DONE]"), "cut"

    def at_work(self) -> AbstractContextManager[None]:
        acts = map(self.load.counted, (self.stream, self.stream, self.ask))
        return repeated(*acts, pause_s=LONGEST_GAP_S)


def start(site: Site, address: str) -> None:
    site.leaving.discard(address)
    site.add_model(address, tokens=20, token_delay=STREAM_S / 20)


def end(site: Site, address: str) -> subprocess.Popen[bytes]:
    """End a model server as Kubernetes ends a pod: no longer listed, not ready, and gone after its last answer."""
    site.leaving.add(address)
    site.list_models()
    site.set_ready(address, False)
    time.sleep(SETTLE_S + 2 * STREAM_S)
    process = site.models.pop(address)
    process.terminate()
    process.wait()
    return process


def change(site: Site, settling_s: float) -> Load:
    """Change both replicas in place, the second one `settling_s` after the new first one is ready."""
    people = People(site)
    with people.at_work():
        for address in (ONE, TWO):
            end(site, address)
            start(site, address)
            time.sleep(settling_s)
    return people.load


@pytest.fixture
def two_replicas(site: Site) -> Site:
    start(site, ONE)
    start(site, TWO)
    eventually(lambda: site.model_servers() == 2)
    return site


def test_nothing_fails_and_no_stream_is_cut_while_two_replicas_change_in_place(two_replicas: Site) -> None:
    load = change(two_replicas, settling_s=model_server.LEARN_S)
    assert load.failures == []
    assert load.succeeded["ask"] > 10
    assert load.succeeded["stream"] > 5
