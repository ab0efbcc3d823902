"""Alerts fire for real: something breaks in the lab, a webhook hears of it, and hears of its end.

GPUs are simulated at their readings, everything else breaks as it would at a site. The last lines of the output are the
table of docs/operate/alerts.md.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.ask import ENDPOINT
from lab.cluster.stack import NAMESPACE
from lab.paths import API_KEY
from tests.faults.alert_receiver import Kubectl, Receiver, told
from tests.support.waiting import wait_until

REFERENCE = "model-server-reference"
REFERENCE_NAME = "smollm2-135m-instruct-reference"
# The engine is the only child of the supervisor, which is the first process of the container.
KILL = """
import os
for process in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{process}/stat") as file:
        if file.read().rsplit(")", 1)[1].split()[1] == "1":
            os.kill(int(process), 9)
"""
PATIENCE_S = 300


class Story:
    """Causes with the times at which they began and ended, and what the webhook heard of them."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.broken: dict[str, tuple[str, float]] = {}
        self.mended: dict[str, float] = {}

    def breaks(self, cause: str, *alerts: str) -> None:
        self.broken |= {alert: (cause, time.monotonic()) for alert in alerts}

    def mends(self, *alerts: str) -> None:
        self.mended |= {alert: time.monotonic() for alert in alerts}

    def wait_fired(self, *alerts: str) -> None:
        fired = self.receiver.fired
        wait_until(lambda: set(alerts) <= fired.keys(), f"{alerts} of {sorted(fired)}", PATIENCE_S)

    def wait_resolved(self, *alerts: str) -> None:
        resolved = self.receiver.resolved
        wait_until(lambda: set(alerts) <= resolved.keys(), f"the end of {alerts}, {sorted(resolved)}", PATIENCE_S)

    def table(self) -> str:
        lines = ["| alert | broken by | notified after | its end after |", "|---|---|---|---|"]
        for alert, (cause, broken) in self.broken.items():
            after_s = self.receiver.fired[alert] - broken
            begun = f"{after_s:.0f} s" if after_s >= 0 else "before: an earlier cause"
            ended = "not waited for"
            if alert in self.mended:
                ended = f"{self.receiver.resolved[alert] - self.mended[alert]:.0f} s"
            lines.append(f"| {alert} | {cause} | {begun} | {ended} |")
        return "\n".join(lines)


@pytest.fixture
def story(kubectl: Kubectl, tmp_path: Path) -> Iterator[Story]:
    """Story of one test; afterwards everything runs again."""
    with told(kubectl, tmp_path) as receiver:
        try:
            yield Story(receiver)
        finally:
            for deployment, replicas in ((REFERENCE, 1), ("model-server", 2)):
                scale(kubectl, deployment, replicas)
                rolled = ("rollout", "status", f"deployment/{deployment}", "--timeout=300s")
                kubectl("--namespace", NAMESPACE, *rolled)


def scale(kubectl: Kubectl, deployment: str, replicas: int) -> None:
    kubectl("--namespace", NAMESPACE, "scale", f"deployment/{deployment}", f"--replicas={replicas}")


def kill_engines(kubectl: Kubectl, server: str) -> None:
    """Pods that a power cut left as failed stay in the list, and nothing runs in them."""
    which = (f"--selector=app.kubernetes.io/name={server}", "--field-selector=status.phase=Running")
    for pod in json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", *which, "--output=json"))["items"]:
        kubectl("--namespace", NAMESPACE, "exec", pod["metadata"]["name"], "--", "python3", "-c", KILL)


def ask(model: str) -> int:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}).encode()
    headers = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{ENDPOINT}/chat/completions", body, headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_what_breaks_is_told_and_so_is_its_end(
    story: Story, gpus: Callable[[list[dict[str, Any]]], None], kubectl: Kubectl
) -> None:
    story.breaks("nothing: it always fires", "Watchdog")
    broken: list[dict[str, Any]] = [
        {"xid": 79},
        {"xid": 31},
        {"double_bit_errors": 1},
        {"uncorrectable_remapped_rows": 2},
        {"row_remap_failure": 1},
        {},
        {"nvlink_recoveries": 3},
        {},
    ]
    gpus(broken)
    story.breaks("XID 79", "GpuNeedsReset")
    story.breaks("XID 31", "GpuApplicationFault")
    story.breaks("a double-bit error", "GpuMemoryError")
    story.breaks("two remapped rows", "GpuRowsRemapped")
    story.breaks("a row that cannot be remapped", "GpuRowRemapFailed")
    story.breaks("three recoveries of NVLink", "NvlinkErrors")
    kill_engines(kubectl, REFERENCE)
    story.breaks("SIGKILL to an engine", "EngineRestarted")
    story.wait_fired("Watchdog", "GpuNeedsReset", "GpuApplicationFault", "GpuMemoryError", "EngineRestarted")

    kill_engines(kubectl, "model-server")
    story.breaks("SIGKILL to both engines of a model", "EnginesDieTogether")
    scale(kubectl, REFERENCE, 0)
    story.breaks("no replica of a model", "NoReadyReplica")
    story.wait_fired("EnginesDieTogether", "NoReadyReplica")
    assert min(ask(REFERENCE_NAME) for _ in range(40)) >= 500
    story.breaks("40 requests to a model without a replica", "ErrorBudgetBurnsFast")
    scale(kubectl, REFERENCE, 1)
    story.mends("NoReadyReplica")
    # While nothing serves the model, that is the news, and not that its requests fail.
    story.wait_resolved("NoReadyReplica")
    story.wait_fired("ErrorBudgetBurnsFast", "GpuRowsRemapped", "GpuRowRemapFailed", "NvlinkErrors")

    counted = {"double_bit_errors": 1, "uncorrectable_remapped_rows": 2, "nvlink_recoveries": 3}
    gpus([counted] * 7)
    story.mends("GpuNeedsReset", "GpuRowRemapFailed")
    story.breaks("seven GPUs of eight", "GpuLost")
    story.wait_fired("GpuLost")
    gpus([counted] * 8)
    story.mends("GpuLost")
    story.wait_resolved("GpuNeedsReset", "GpuRowRemapFailed", "GpuLost")
    print(f"\n{story.table()}")
