"""One model held by three pods together, behind the gateway of the lab: `python3 -m lab run pytest <this file>`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import openai
import pytest
import yaml

from lab.cluster import stack

PATIENCE_S = 900
PODS = tuple(f"model-server-group-0-{rank}" for rank in range(3))
PROMPTS = ("def add(a, b):", "The capital of France is", "1, 2, 3,")
# Three pods, because the model's three KV heads cannot be halved and vLLM's CPU build splits no layers. Memory is the
# stack file's.
SPLIT = {
    "variant": "group",
    "servedName": "group",
    "maxModelLen": 2048,
    "dtype": "float32",
    "replicas": 1,
    "acceptOutage": True,
    "gpusPerReplica": 3,
    "nodesPerReplica": 3,
    "extraArgs": ["--enforce-eager", "--tensor-parallel-size", "3"],
    "startupSeconds": PATIENCE_S,
    "env": {
        "CUDA_VISIBLE_DEVICES": "",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    },
}


@pytest.fixture(scope="module", autouse=True)
def group() -> Iterator[None]:
    """The stack with the group as one more way to serve the weights, without a plan."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    config = settings["config"]
    first = config["qwen-onprem:models"][0]
    kept_keys = ("name", "cpuRequest", "memoryRequest", "memoryLimit", "sharedMemory", "drainSeconds")
    config["qwen-onprem:models"].append({**{key: first[key] for key in kept_keys}, **SPLIT})
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        stack.up()
        yield
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()


def complete(client: openai.OpenAI, model: str) -> list[str]:
    wishes = {"max_tokens": 16, "temperature": 0}
    return [client.completions.create(model=model, prompt=prompt, **wishes).choices[0].text for prompt in PROMPTS]


def wait_ready(kubectl: Callable[..., str]) -> None:
    kubectl(
        "wait", "pod", "-n", "qwen", "-l", "qwen-onprem/replica", "--for=condition=Ready", f"--timeout={PATIENCE_S}s"
    )


def restarts(kubectl: Callable[..., str]) -> dict[str, tuple[str, int, bool]]:
    """Id, number of restarts and readiness of each pod of the group."""
    pods = json.loads(kubectl("get", "pods", "-n", "qwen", "-l", "qwen-onprem/replica", "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], status["restartCount"], status["ready"])
        for pod in pods
        for status in pod["status"].get("containerStatuses", [])
    }


def test_three_pods_give_one_processs_answers(client: openai.OpenAI, model: str, kubectl: Callable[..., str]) -> None:
    wait_ready(kubectl)
    answers = complete(client, "group")
    assert len(set(answers)) == len(PROMPTS)
    assert answers == complete(client, f"{model}-reference")


def test_a_pod_that_is_killed_takes_the_group_down_and_it_comes_back(
    client: openai.OpenAI, kubectl: Callable[..., str]
) -> None:
    before, answers = restarts(kubectl), complete(client, "group")
    kubectl("delete", "pod", "-n", "qwen", PODS[1], "--grace-period=0", "--force")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        now = restarts(kubectl)
        again = now.get(PODS[0], before[PODS[0]])[1] > before[PODS[0]][1]
        if again and len(now) == len(PODS) and all(ready for _, _, ready in now.values()):
            break
        assert time.monotonic() < deadline, now
        time.sleep(2)
    assert now[PODS[0]][0] == before[PODS[0]][0], "the leader's pod stays, its server starts again"
    assert now[PODS[1]][0] != before[PODS[1]][0]
    assert complete(client, "group") == answers
