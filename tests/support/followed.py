"""The lab's first model while KEDA lets its replicas follow the requests, and people who stream from it."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import httpx2
import openai
import yaml

from lab.cluster import keda, stack
from lab.cluster.ask import ENDPOINT
from lab.machine import ports
from lab.paths import API_KEY, BIN
from lab.shell import output
from qwen_stack.specs.model_server import API_PORT
from tests.support.load import Load, repeated
from tests.support.waiting import wait_until

Kubectl = Callable[..., str]
SERVER = "model-server"
DEMAND = f'serving:demand:requests{{server="{SERVER}"}}'
PRESSURE = f'serving:kv_pressure:replicas{{server="{SERVER}"}}'
STREAMED_TOKENS = 48
REPLICAS_BEFORE = 2
"""Replicas of the lab's first model while their number is fixed."""


@contextmanager
def keda_installed() -> Iterator[None]:
    """KEDA in the lab's cluster until the block ends."""
    try:
        keda.install()
        yield
    finally:
        keda.remove()


def keda_is_built() -> bool:
    return (BIN / "keda").exists()


def measured(query: str) -> float | None:
    """Value of a query of one series, as the lab's Prometheus has it now; None without a value or a Prometheus."""
    url = f"http://127.0.0.1:{ports.PROMETHEUS}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return None
    return float(found[0]["value"][1]) if found else None


def demand_is(least: float, most: float = float("inf")) -> bool:
    value = measured(DEMAND)
    return value is not None and least <= value <= most


class Followed:
    """The Deployment whose replicas follow the requests."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self.counts: list[tuple[float, int]] = []
        """Times of the monotonic clock with the number that was wanted then."""

    def look(self) -> None:
        self.counts.append((time.monotonic(), self.wanted()))

    def wanted(self) -> int:
        return int(self._deployment()["spec"]["replicas"])

    def ready(self) -> int:
        return int(self._deployment()["status"].get("readyReplicas", 0))

    def pods(self) -> list[dict[str, Any]]:
        """Its pods that run or drain; a power cut leaves others, which nobody deletes."""
        which = (f"--selector=app.kubernetes.io/name={SERVER}", "--field-selector=status.phase=Running")
        found = json.loads(self._kubectl("get", "pods", "-n", stack.NAMESPACE, *which, "-o", "json"))
        return list(found["items"])

    def remember_for(self, seconds: int) -> None:
        """Let the autoscaler forget earlier load sooner than after the longest start, for which no test waits."""
        behaviour = {"scaleDown": {"stabilizationWindowSeconds": seconds}}
        change = {"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behaviour}}}}
        name = ("-n", stack.NAMESPACE, SERVER)
        self._kubectl("patch", "scaledobject", *name, "--type=merge", f"--patch={json.dumps(change)}")
        path = "-o=jsonpath={.spec.behavior.scaleDown.stabilizationWindowSeconds}"
        wait_until(lambda: self._kubectl("get", "hpa", *name, path) == str(seconds), "the autoscaler's new memory")

    def _deployment(self) -> Any:
        return json.loads(self._kubectl("get", "deployment", "-n", stack.NAMESPACE, SERVER, "-o", "json"))


@contextmanager
def following(kubectl: Kubectl, bounds: dict[str, int], **changes: Any) -> Iterator[Followed]:
    """The lab's stack with `autoscaling` in its first entry; afterwards its number of replicas is fixed as before."""
    kept, followed = stack.CONFIG.read_text(), Followed(kubectl)
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:models"][0] |= {"autoscaling": bounds, "acceptOutage": True, **changes}
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        with repeated(followed.look, pause_s=0.2):
            stack.up()
            active = ("--for=condition=ScalingActive", "--timeout=120s")
            listed = ("get", "hpa", "-n", stack.NAMESPACE, "-o", "name")
            wait_until(lambda: SERVER in kubectl(*listed), "an autoscaler by KEDA")
            kubectl("wait", "-n", stack.NAMESPACE, f"hpa/{SERVER}", *active)
        yield followed
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()
        kubectl("scale", "-n", stack.NAMESPACE, f"deployment/{SERVER}", f"--replicas={REPLICAS_BEFORE}")
        stack.wait()


class People:
    """Streamers of the served model, each stream a conversation of its own, so that every replica gets some."""

    def __init__(self, model: str) -> None:
        self.load = Load(openai.OpenAIError, httpx2.HTTPError, AssertionError)
        self._client = openai.OpenAI(base_url=ENDPOINT, api_key=API_KEY.read_text().strip(), max_retries=0, timeout=300)
        self._model = model

    def stream(self) -> None:
        chunks = list(
            self._client.completions.create(
                model=self._model,
                prompt="Once",
                stream=True,
                max_tokens=STREAMED_TOKENS,
                temperature=0,
                extra_headers={"X-Session-Id": uuid.uuid4().hex},
                extra_body={"ignore_eos": True},
            )
        )
        assert chunks[-1].choices[0].finish_reason, f"the stream was cut after {len(chunks)} pieces"

    def streaming(self, number: int) -> AbstractContextManager[None]:
        """Streams side by side, always this number, until the block ends."""
        return repeated(*[self.load.counted(self.stream)] * number)


@contextmanager
def deployment_away(kubectl: Kubectl, namespace: str, name: str) -> Iterator[None]:
    """No pod of a Deployment, until the block ends."""
    one = ("-n", namespace, f"deployment/{name}")
    kubectl("scale", *one, "--replicas=0")
    try:
        yield
    finally:
        kubectl("scale", *one, "--replicas=1")
        kubectl("rollout", "status", *one, "--timeout=180s")


@contextmanager
def metrics_away(kubectl: Kubectl, pod: dict[str, Any]) -> Iterator[None]:
    """Prometheus does not reach the metrics of a pod, which serves on, until the block ends."""
    which = ("-n", stack.NAMESPACE, "--selector=app.kubernetes.io/name=prometheus")
    source = kubectl("get", "pods", *which, "-o=jsonpath={.items[0].status.podIP}")
    rule = (
        "PREROUTING",
        "-s",
        source,
        "-d",
        pod["status"]["podIP"],
        "-p",
        "tcp",
        "--dport",
        f"{API_PORT}",
        "-j",
        "DROP",
    )
    host = ("podman", "exec", f"qwen-lab-{pod['spec']['nodeName']}", "iptables", "-w", "-t", "raw")
    output(*host, "-I", *rule)
    try:
        yield
    finally:
        with suppress(Exception):
            output(*host, "-D", *rule)
