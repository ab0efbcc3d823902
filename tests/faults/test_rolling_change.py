"""The model servers change while people use the endpoint: in place, and by surge on the way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest
import yaml

from lab.cluster import stack
from tests.support.load import Load, repeated

LABEL = "app.kubernetes.io/name=model-server"
# Long enough that a stream runs when a replica is told to end, and short enough for the lab's drain of 30 s.
STREAMED_TOKENS = 48
STREAMERS, ASKERS = 2, 1
Kubectl = Callable[..., str]


class People:
    """Streamers and askers of the served model."""

    def __init__(self, client: openai.OpenAI, model: str) -> None:
        self.load = Load(openai.OpenAIError, httpx2.HTTPError, AssertionError)
        self._client, self._model = client, model

    def ask(self) -> None:
        self._client.completions.create(model=self._model, prompt="1, 2, 3,", max_tokens=4)

    def stream(self) -> None:
        wishes = {"max_tokens": STREAMED_TOKENS, "temperature": 0}
        chunks = list(self._client.completions.create(model=self._model, prompt="Once", stream=True, **wishes))
        assert chunks[-1].choices[0].finish_reason, f"the stream was cut after {len(chunks)} pieces"

    def at_work(self) -> AbstractContextManager[None]:
        acts = [self.stream] * STREAMERS + [self.ask] * ASKERS
        return repeated(*map(self.load.counted, acts))


@dataclass
class Replicas:
    """Numbers of pods, sampled while the stack changes."""

    kubectl: Kubectl
    most: int = 0
    """Most pods at once that were not being deleted."""
    fewest_ready: int = 99

    def look(self) -> None:
        staying = [pod for pod in pods(self.kubectl) if "deletionTimestamp" not in pod["metadata"]]
        self.most = max(self.most, len(staying))
        self.fewest_ready = min(self.fewest_ready, sum(map(is_ready, staying)))


def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    """Model servers but for those that have failed: a power cut leaves some, which nobody deletes."""
    alive = "--field-selector=status.phase!=Failed"
    return json.loads(kubectl("get", "pods", "-n", stack.NAMESPACE, "-l", LABEL, alive, "-o", "json"))["items"]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.fixture(scope="module")
def committed() -> Iterator[str]:
    """The stack's file, which is restored afterwards."""
    kept = stack.CONFIG.read_text()
    yield kept
    stack.CONFIG.write_text(kept)
    stack.up()
    stack.wait()


def in_place(kept: str) -> str:
    """The stack with another environment for its first model, which is changed in place."""
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
    people, replicas = People(client, model), Replicas(kubectl)
    stack.CONFIG.write_text(in_place(committed) if rollout == "in-place" else committed)
    with people.at_work(), repeated(replicas.look, pause_s=1):
        changed, _ = stack.up()
        # pulumi ends once the new replicas are ready, which may be before the last old one is told to end.
        stack.wait()
    now = {pod["metadata"]["name"] for pod in pods(kubectl) if "deletionTimestamp" not in pod["metadata"]}
    assert changed
    assert len(now) == 2
    assert not before & now, "every replica is a new one"
    assert people.load.failures == []
    assert min(people.load.succeeded["ask"], people.load.succeeded["stream"]) > 4, (
        "people used the endpoint all the time"
    )
    if rollout == "in-place":
        assert replicas.most == 2, "nothing asks for one more GPU"
        assert replicas.fewest_ready >= 1
    else:
        assert replicas.most == 3
        assert replicas.fewest_ready >= 2, "no replica is missed"
