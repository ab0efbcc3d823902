"""Alerts of GPUs, hosts and cluster whose rules wait long fire for real, with these waits cut short.

Their expressions are the stack's own. Prometheus begins anew, so that it looks back on what was measured since then.
The last lines of the output are a part of the table of docs/operate/alerts.md.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.faults import breaking, breaking_hosts, rules_of_prometheus
from tests.faults.alert_receiver import Kubectl
from tests.faults.gpus import Gpus, eight
from tests.faults.story import Fault, Story, nothing
from tests.faults.telling import story_cut_short

HOT, THROTTLED = {"temp_c": 92}, {"thermal_violation": 900}
BRAKED, DIVIDED = {"clocks_event_reasons": 0x80 | 0x08}, {"mig_mode": 1}


def test_slow_alerts_of_gpus_and_hosts_are_told(gpus: Gpus, kubectl: Kubectl, tmp_path: Path) -> None:
    fabric_manager = breaking_hosts.fabric_manager_dies()
    with ExitStack() as back, breaking.spare_parts():
        # Rules that look five minutes back see these from their first measurement on.
        back.callback(fabric_manager.mend)
        fabric_manager.breaks()
        gpus(eight(HOT, {}, BRAKED, DIVIDED))
        breaking_hosts.parts_that_are_whole()
        with story_cut_short(kubectl, tmp_path) as story:
            rules_of_prometheus.wait_seen('serving:host_infiniband_up:bool{device="mlx5_0"} == 1')
            told_of_parts(story, gpus, kubectl, replace(fabric_manager, breaks=nothing), tmp_path)
            told_of_hosts(story, kubectl)
            print(f"\n{story.table()}")


def told_of_parts(story: Story, gpus: Gpus, kubectl: Kubectl, fabric_manager: Fault, folder: Path) -> None:
    """Faults that do not follow from each other, all at once."""

    def whole() -> None:
        gpus(eight({}, THROTTLED))

    faults = (
        Fault("a GPU at 92 degrees", ("GpuHot",), nothing, whole),
        Fault("a GPU that the host's power supply brakes", ("GpuPowerBrake",), nothing, whole),
        Fault("a GPU in MIG mode", ("GpuDivided",), nothing, whole),
        Fault(
            "a counter of lowered clocks that grows",
            ("GpuThrottled",),
            lambda: gpus(eight(HOT, THROTTLED, BRAKED, DIVIDED)),
        ),
        breaking_hosts.pod_fills_its_volume(kubectl, folder),
        breaking_hosts.certificates_end(),
        breaking_hosts.memory_runs_out(),
        fabric_manager,
        breaking_hosts.parts_break(),
        breaking_hosts.disk_fills(),
        breaking_hosts.text_is_garbage(),
        breaking_hosts.backup_is_old(),
    )
    story.breaks(*faults)
    story.wait_fired(*faults)
    lasting = {"GpuThrottled", "GpuPowerBrake", "HostMemoryKills", "PodsEvicted"}
    ending = [fault for fault in faults if not lasting & set(fault.alerts)]
    story.mends(*ending)
    # What is counted within minutes or hours has no end that is waited for, nor has what ends in the mean of minutes.
    looks_back = {"NicErrors", "HostMemoryError", "HostServiceFailed"}
    story.wait_resolved(*(fault for fault in ending if not looks_back & set(fault.alerts)))


def told_of_hosts(story: Story, kubectl: Kubectl) -> None:
    """Faults that silence others."""
    hosts = (breaking_hosts.exporter_of_a_host_ends(), breaking_hosts.gpu_exporter_leaves(kubectl))
    story.breaks(*hosts)
    story.wait_fired(*hosts)
    story.mends(*hosts)
    story.wait_resolved(*hosts)
    still = breaking_hosts.api_stands_still()
    story.breaks(still)
    story.wait_fired(still)
    story.mends(still)
    story.wait_resolved(still)
