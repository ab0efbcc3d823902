"""A model server dies while people use the endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import openai

REQUESTS = 12
LABEL = "app.kubernetes.io/name=model-server"
PATIENCE_S = 420


def test_requests_succeed_while_a_killed_pod_comes_back(
    client: openai.OpenAI, model: str, kubectl: Callable[..., str]
) -> None:
    before = _ready(kubectl)
    assert len(before) >= 2, "two replicas are ready before one is killed"

    def ask(_: int) -> str:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Count to ten."}], max_tokens=12
        )
        return answer.choices[0].finish_reason

    with ThreadPoolExecutor(2) as people:
        answers = people.map(ask, range(REQUESTS))
        kubectl("delete", "pod", "-n", "qwen", before[0], "--grace-period=0", "--force")
        assert set(answers) <= {"stop", "length"}
    deadline = time.monotonic() + PATIENCE_S
    while len(now := _ready(kubectl)) < len(before):
        assert time.monotonic() < deadline, f"ready after {PATIENCE_S} s: {now}"
        time.sleep(3)
    assert before[0] not in now


def _ready(kubectl: Callable[..., str]) -> list[str]:
    pods = json.loads(kubectl("get", "pods", "-n", "qwen", "-l", LABEL, "-o", "json"))["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]
