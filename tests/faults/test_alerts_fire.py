"""Alerts fire for real: something breaks in the lab, a webhook hears of it, and hears of its end.

GPUs are simulated at their readings and an array at its series; everything else breaks as it would at a site. The rules
are the stack's own. The last lines of each test's output are a part of the table of docs/operate/alerts.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import breaking, rules_of_prometheus
from tests.faults.alert_receiver import Kubectl
from tests.faults.asking import chat
from tests.faults.breaking import kill_engines
from tests.faults.gpus import Gpus, Readings, eight
from tests.faults.story import Fault, Story, nothing
from tests.faults.telling import ENGINES, REFERENCE, REFERENCE_NAME, story_by_the_stacks_rules

# Errors are more than an error budget of a thousandth can bear 14 times too fast.
LEAST_ERRORS, ERRORS_OF_ASKED = 24, 0.03
ASKED = 'sum(increase(serving:gateway_answers:total{class=~"2xx|3xx|5xx"}[1h]))'


@pytest.fixture
def story(kubectl: Kubectl, tmp_path: Path) -> Iterator[Story]:
    with story_by_the_stacks_rules(kubectl, tmp_path) as told:
        yield told


def errors() -> int:
    """Number of failed requests that burn the budget, beside what was asked within the last hour."""
    asked = rules_of_prometheus.ask("query", query=ASKED)["result"]
    return max(LEAST_ERRORS, round(ERRORS_OF_ASKED * float(asked[0]["value"][1])) if asked else 0)


def gpu_faults(gpus: Gpus, counted: Readings) -> tuple[Fault, ...]:
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


@pytest.fixture
def spare_parts() -> Iterator[None]:
    with breaking.spare_parts():
        seen = f'serving:host_filesystem_readonly:bool{{mountpoint="{breaking.READ_ONLY}"}} == 0'
        rules_of_prometheus.wait_seen(seen)
        rules_of_prometheus.wait_seen(f'serving:host_nic_up:bool{{device="{breaking.CARD}"}} == 1')
        yield


def test_what_breaks_is_told_and_so_is_its_end(gpus: Gpus, spare_parts: None, story: Story, kubectl: Kubectl) -> None:
    for deployment, replicas in ENGINES.items():
        story.open.callback(breaking.scale, kubectl, deployment, replicas)
    counters: Readings = [{"double_bit_errors": 1}, {"uncorrectable_remapped_rows": 2}, {"nvlink_recoveries": 3}]
    counted = eight({}, {}, {}, *counters)
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
    failed = errors()
    failing = Fault(
        f"{failed} requests to a model without a replica",
        ("ErrorBudgetBurnsFast",),
        lambda: chat(REFERENCE_NAME, failed),
    )
    story.breaks(failing)
    # While nothing serves the model, that is the news, and not that its requests fail.
    story.mends(away)
    story.wait_resolved(away, *parts)

    story.wait_fired(lost, failing, blind, *lasting)
    story.mends(lost, blind)
    story.wait_resolved(lost, blind)
    # The budget tells of these errors already, or the missing replica.
    assert "GatewayErrors" not in story.receiver.fired
    print(f"\n{story.table()}")


def test_a_control_plane_that_stops_is_told_by_what_goes_on(story: Story) -> None:
    """Prometheus, Alertmanager and the way out need neither kubelet nor API once they run."""
    stopped = breaking.control_plane_stops()
    story.breaks(stopped)
    story.wait_fired(stopped)
    # One cause calls once: the API server ends without etcd, and kubelets refuse Prometheus without an API server.
    assert not {"ApiDown", "KubeletDown", "RepairBlind", "TargetDown"} & story.receiver.fired.keys()
    story.mends(stopped)
    story.wait_resolved(stopped)
    print(f"\n{story.table()}")
