"""The model servers change while people use the endpoint: in place, and by surge on the way back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest
import yaml

from lab.cluster import stack

pytestmark = pytest.mark.long
LABEL = "app.kubernetes.io/name=model-server"
# Each stream is there when a replica is told to end, and over within the lab's drain of 30 s.
STREAMED_TOKENS = 48
STREAMERS, ASKERS = 2, 1
Kubectl = Callable[..., str]


@dataclass
class Load:
    """What people get from the endpoint while it changes."""

    client: openai.OpenAI
    model: str
    ended: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    streamed: int = 0
    failures: list[str] = field(default_factory=list)

    def ask(self) -> None:
        self.client.completions.create(model=self.model, prompt="1, 2, 3,", max_tokens=4)
        self.answered += 1

    def stream(self) -> None:
        asked = {"max_tokens": STREAMED_TOKENS, "temperature": 0}
        chunks = list(self.client.completions.create(model=self.model, prompt="Once", stream=True, **asked))
        assert chunks[-1].choices[0].finish_reason, f"the stream was cut after {len(chunks)} pieces"
        self.streamed += 1

    def go_on(self, act: Callable[[], None]) -> None:
        while not self.ended.is_set():
            failure = failure_of(act)
            if failure is not None:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {act.__name__}: {failure!r}")


def failure_of(act: Callable[[], None]) -> Exception | None:
    try:
        act()
    except (openai.OpenAIError, httpx2.HTTPError, AssertionError) as error:
        return error
    return None


@contextmanager
def people(load: Load) -> Iterator[None]:
    with ThreadPoolExecutor(STREAMERS + ASKERS) as pool:
        work = [pool.submit(load.go_on, act) for act in [load.stream] * STREAMERS + [load.ask] * ASKERS]
        try:
            yield
        finally:
            load.ended.set()
    for one in work:
        one.result()


@dataclass
class Replicas:
    """Numbers of pods, looked at again and again while the stack changes."""

    kubectl: Kubectl
    ended: threading.Event = field(default_factory=threading.Event)
    most: int = 0
    """Pods that are not on their way out."""
    fewest_ready: int = 99

    def watch(self) -> None:
        while not self.ended.wait(1):
            staying = [pod for pod in pods(self.kubectl) if "deletionTimestamp" not in pod["metadata"]]
            self.most = max(self.most, len(staying))
            self.fewest_ready = min(self.fewest_ready, sum(map(is_ready, staying)))


@contextmanager
def watched(kubectl: Kubectl) -> Iterator[Replicas]:
    replicas = Replicas(kubectl)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(replicas.watch)
        try:
            yield replicas
        finally:
            replicas.ended.set()
    work.result()


def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    return json.loads(kubectl("get", "pods", "-n", stack.NAMESPACE, "-l", LABEL, "-o", "json"))["items"]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.fixture(scope="module")
def committed() -> Iterator[str]:
    """The stack's file as it was, and is again afterwards."""
    kept = stack.CONFIG.read_text()
    yield kept
    stack.CONFIG.write_text(kept)
    stack.up()


def in_place(kept: str) -> str:
    """The stack with another environment for its first model, to be changed in place."""
    settings = yaml.safe_load(kept)
    first = settings["config"]["qwen-onprem:models"][0]
    first |= {"rollout": "in-place", "env": {**first["env"], "CHANGED": "in-place"}}
    return yaml.safe_dump(settings, sort_keys=False)


@pytest.mark.parametrize("rollout", ["in-place", "surge"])
def test_nothing_fails_and_no_stream_is_cut_while_the_replicas_change(
    client: openai.OpenAI, model: str, kubectl: Kubectl, committed: str, rollout: str
) -> None:
    before = {pod["metadata"]["name"] for pod in pods(kubectl)}
    assert len(before) == 2
    load = Load(client, model)
    stack.CONFIG.write_text(in_place(committed) if rollout == "in-place" else committed)
    with people(load), watched(kubectl) as replicas:
        changed, _ = stack.up()
    now = {pod["metadata"]["name"] for pod in pods(kubectl) if "deletionTimestamp" not in pod["metadata"]}
    assert changed
    assert len(now) == 2
    assert not before & now, "every replica is a new one"
    assert load.failures == []
    assert min(load.answered, load.streamed) > 4, "people used the endpoint all the time"
    if rollout == "in-place":
        assert replicas.most == 2, "nothing asks for one more GPU"
        assert replicas.fewest_ready >= 1
    else:
        assert replicas.most == 3
        assert replicas.fewest_ready >= 2, "no replica is missed"
