"""Alerts fire for real: something breaks in the lab, a webhook hears of it, and hears of its end.

GPUs are simulated at their readings and an array at its series; everything else breaks as it would at a site. The rules
are the stack's own. The last lines of the output are the table of docs/operate/alerts.md.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.ask import wait as wait_for_the_gateway
from lab.cluster.stack import NAMESPACE
from lab.machine import ports
from lab.paths import API_KEY
from tests.faults import breaking, rules_of_prometheus
from tests.faults.alert_receiver import Kubectl, told
from tests.faults.breaking import kill_engines
from tests.faults.story import Fault, Story, nothing

REFERENCE = "model-server-reference"
REFERENCE_NAME = "smollm2-135m-instruct-reference"
ENGINES = ((REFERENCE, 1), ("model-server", 2))
ERRORS, ANSWERS = 24, 800
Gpus = Callable[[list[dict[str, Any]]], None]


@pytest.fixture
def story(kubectl: Kubectl, tmp_path: Path) -> Iterator[Story]:
    """Story of one test; afterwards everything runs again."""
    with breaking.spare_parts(), told(kubectl, tmp_path) as receiver:
        told_story = Story(receiver, rules_of_prometheus.waits())
        seen = f'serving:host_filesystem_readonly:bool{{mountpoint="{breaking.READ_ONLY}"}} == 0'
        rules_of_prometheus.wait_seen(seen)
        rules_of_prometheus.wait_seen(f'serving:host_nic_up:bool{{device="{breaking.CARD}"}} == 1')
        with told_story.open:
            yield told_story
        for deployment, _ in ENGINES:
            kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{deployment}", "--timeout=300s")
        wait_for_the_gateway()


def ask(path: str, times: int, body: dict[str, Any] | None = None) -> list[int]:
    """Statuses of as many requests over one connection."""
    headers = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "Content-Type": "application/json"}
    statuses = []
    with closing(http.client.HTTPConnection("127.0.0.1", ports.GATEWAY, timeout=60)) as connection:
        for _ in range(times):
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            with connection.getresponse() as answer:
                answer.read()
            statuses.append(answer.status)
    return statuses


def answered() -> None:
    assert set(ask("/v1/models", ANSWERS)) == {200}


def chat(times: int) -> list[int]:
    body = {"model": REFERENCE_NAME, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    return ask("/v1/chat/completions", times, body)


def gpu_faults(gpus: Gpus, counted: list[dict[str, Any]]) -> tuple[Fault, ...]:
    """One fault at each of six GPUs. Counters stay as they are when the faults are over."""
    states = [{"xid": 79}, {"xid": 31}, {"row_remap_failure": 1}]
    readings = [*states, *counted[len(states) :]]
    return (
        Fault("XID 79", ("GpuNeedsReset",), lambda: gpus(readings), lambda: gpus(counted)),
        Fault("XID 31", ("GpuApplicationFault",), nothing),
        Fault("a row that cannot be remapped", ("GpuRowRemapFailed",), nothing),
        Fault("a double-bit error", ("GpuMemoryError",), nothing),
        Fault("two remapped rows", ("GpuRowsRemapped",), nothing),
        Fault("three recoveries of NVLink", ("NvlinkErrors",), nothing),
    )


def test_what_breaks_is_told_and_so_is_its_end(gpus: Gpus, story: Story, kubectl: Kubectl) -> None:
    for deployment, replicas in ENGINES:
        story.open.callback(breaking.scale, kubectl, deployment, replicas)
    counters = [{"double_bit_errors": 1}, {"uncorrectable_remapped_rows": 2}, {"nvlink_recoveries": 3}]
    counted: list[dict[str, Any]] = [{}, {}, {}, *counters, {}, {}]
    faulty = gpu_faults(gpus, counted)
    ending, lasting = faulty[:3], faulty[3:]
    parts = breaking.parts_of_a_host()
    blind = breaking.closed(kubectl, "repair", "egress", ("RepairBlind",), "a policy between repair and the API")
    ended = Fault("SIGKILL to an engine", ("EngineRestarted",), lambda: kill_engines(kubectl, REFERENCE))
    story.breaks(Fault("nothing: it always fires", ("Watchdog",), nothing), blind, *faulty, *parts, ended)
    story.wait_fired(*faulty, ended)

    together = Fault(
        "SIGKILL to both engines of a model", ("EnginesDieTogether",), lambda: kill_engines(kubectl, "model-server")
    )
    away = breaking.scaled(kubectl, REFERENCE, ("NoReadyReplica",), "no replica of a model", to=0, back=1)
    story.breaks(together, away)
    story.mends(*ending)
    story.wait_resolved(*ending)
    lost = Fault("seven GPUs of eight", ("GpuLost",), lambda: gpus(counted[:7]), lambda: gpus(counted))
    story.breaks(lost)
    story.wait_fired(together, away, *parts)
    story.mends(*parts)
    failing = Fault(
        f"{ERRORS} requests to a model without a replica",
        ("GatewayErrors", "ErrorBudgetBurnsFast"),
        lambda: chat(ERRORS),
    )
    story.breaks(failing)
    # While nothing serves the model, that is the news, and not that its requests fail.
    story.mends(away)
    story.wait_resolved(away, *parts)

    stopped = breaking.control_plane_stops()
    story.breaks(stopped)
    story.wait_fired(lost, stopped, failing, *lasting)
    story.mends(stopped)
    story.wait_resolved(stopped)
    story.wait_fired(blind)
    story.mends(lost, blind)
    errors_end = Fault(f"{ANSWERS} good answers", ("GatewayErrors",), nothing, answered)
    story.mends(errors_end)
    story.wait_resolved(lost, blind, errors_end)
    print(f"\n{story.table()}")
