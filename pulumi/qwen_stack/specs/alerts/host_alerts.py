"""Alerts of hosts: the machine itself, its disks, cards, memory, clock and services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.alerts.host_rules import NODE_EXPORTER

NODE, MOUNT = "{{ $labels.node }}", "{{ $labels.mountpoint }} of {{ $labels.node }}"
# The kubelet throws pods out below a tenth.
LITTLE, FEW, NONE_LEFT = 0.25, 0.1, 0.03
LOW_MEMORY = 0.05
CORRECTED_PER_DAY = 1000
NIC_ERRORS, INFINIBAND_ERRORS = 100, 10
APART_SECONDS = 1


def alerts() -> list[Alert]:
    return [*_presence(), *_disks(), *_cards(), *_memory(), *_system()]


_alert = partial(Alert, owner="platform")


def _presence() -> Iterable[Alert]:
    yield _alert(
        "HostDown",
        f'up{{job="{NODE_EXPORTER}"}} == 0',
        holds="2m",
        severity="critical",
        summary=f"{NODE} does not answer",
        impact="Its replicas are gone, or about to be: nothing about this host is known.",
        found="no answer of its node exporter for 2 minutes",
        needed="an answer from every host of monitoring.hosts",
        remedy="Look whether the host answers at its console. If it does, start prometheus-node-exporter there. A host "
        "that was taken out on purpose leaves monitoring.hosts.",
        look="`kubectl get nodes`; on the host `systemctl status prometheus-node-exporter`",
    )


def _disks() -> Iterator[Alert]:
    readonly = "serving:host_filesystem_readonly:bool"
    free, files = "serving:host_filesystem_free:ratio", "serving:host_filesystem_files_free:ratio"
    room = partial(
        _alert,
        summary=f"{MOUNT} is running out of room",
        found="{{ $value | humanizePercentage }} free, in bytes or in files",
        remedy="Remove old logs, images and weights that no model uses (docs/operate/keep.md), or give it room.",
        look="`df --human-readable`, `df --inodes` and `du --max-depth 2 <mount point>` on the host",
    )
    yield room(
        "DiskFills",
        # A trend needs an hour of readings: images and weights arrive at a new host within minutes.
        f"{free} < {FEW} or {files} < {FEW} "
        f"or ({free} < {LITTLE} and predict_linear({free}[6h], 86400) < 0 and {free} offset 1h)",
        holds="15m",
        severity="warning",
        impact="Below a tenth the kubelet removes images and throws pods out.",
        needed=f"at least {FEW:.0%}, or {LITTLE:.0%} where it will be full within a day",
    )
    yield room(
        "DiskFull",
        f"{free} < {NONE_LEFT} or {files} < {NONE_LEFT}",
        holds="1m",
        severity="critical",
        impact="Programs on this host fail to write: etcd stops, engines do not start.",
        needed=f"at least {NONE_LEFT:.0%}",
    )
    yield _alert(
        "DiskFailed",
        f"serving:host_filesystem_failed:bool > 0 or ({readonly} > 0 and min_over_time({readonly}[1d]) == 0)",
        holds="1m",
        severity="critical",
        summary=f"{MOUNT} cannot be used",
        impact="What lies on it is out of reach: engines keep running only as long as they read nothing.",
        found="a file system that gives errors, or became read-only within the last day",
        needed="one that can be read and written",
        remedy="Read the kernel's log for the drive that failed; docs/operate/drive.md replaces it.",
        look="`journalctl --dmesg --priority err` and `cat /proc/mdstat` on the host",
    )
    yield _alert(
        "RaidDegraded",
        "serving:host_raid_missing:disks > 0",
        holds="1m",
        severity="critical",
        summary=f"Array {{{{ $labels.device }}}} of {NODE} lacks drives",
        impact="The next drive that fails takes the data with it.",
        found="{{ $value }} drives missing",
        needed="none",
        remedy="Replace the drive (docs/operate/drive.md).",
        look="`cat /proc/mdstat` and `mdadm --detail /dev/<array>` on the host",
    )


def _cards() -> Iterator[Alert]:
    yield _alert(
        "NicDown",
        "serving:host_nic_up:bool == 0 and max_over_time(serving:host_nic_up:bool[1d]) == 1",
        holds="1m",
        severity="warning",
        summary=f"Network card {{{{ $labels.device }}}} of {NODE} lost its link",
        impact="Traffic takes the other card where there is one; otherwise the host is away.",
        found="no link, and one within the last day",
        needed="a link",
        remedy="Look at the cable, the transceiver and the port of the switch.",
        look="`ip link show <device>` and `ethtool <device>` on the host",
    )
    yield _alert(
        "InfinibandDown",
        "serving:host_infiniband_up:bool == 0 and max_over_time(serving:host_infiniband_up:bool[1d]) == 1",
        holds="1m",
        severity="critical",
        summary=f"Port {{{{ $labels.port }}}} of {{{{ $labels.device }}}} on {NODE} left the fabric",
        impact="Replicas that span hosts fail.",
        found="a port that is not active, and was within the last day",
        needed="an active port",
        remedy="Look at the cable, then at the subnet manager.",
        look="`ibstat <device>` on the host",
    )
    yield _alert(
        "NicErrors",
        f"increase(serving:host_nic_errors:total[15m]) > {NIC_ERRORS} "
        f"or increase(serving:host_infiniband_errors:total[15m]) > {INFINIBAND_ERRORS}",
        holds="0m",
        severity="warning",
        summary=f"{{{{ $labels.device }}}} of {NODE} receives damaged packets",
        impact="Answers and weights come slower; ranks of a replica over several hosts wait for each other.",
        found="{{ $value | humanize }} errors within 15 minutes",
        needed=f"at most {NIC_ERRORS}, of InfiniBand {INFINIBAND_ERRORS}",
        remedy="Replace the cable or the transceiver; then look at the port of the switch.",
        look="`ethtool --statistics <device>`, `perfquery` on the host",
    )


def _memory() -> Iterator[Alert]:
    yield _alert(
        "HostMemoryLow",
        f"serving:host_memory_free:ratio < {LOW_MEMORY}",
        holds="10m",
        severity="warning",
        summary=f"{NODE} has hardly any memory left",
        impact="The kernel will end a process, perhaps an engine.",
        found="{{ $value | humanizePercentage }} free for 10 minutes",
        needed=f"at least {LOW_MEMORY:.0%}",
        remedy="Find what grew. A model whose memoryLimit is above what it needs hides a leak.",
        look="`systemd-cgtop --order memory` on the host",
    )
    yield _alert(
        "HostMemoryKills",
        "increase(serving:host_memory_kills:total[15m]) > 0",
        holds="0m",
        severity="warning",
        summary=f"The kernel of {NODE} ended a process for want of memory",
        impact="If it was an engine, its requests were lost and it starts again.",
        found="{{ $value | humanize }} processes within 15 minutes",
        needed="none",
        remedy="The kernel's log names the process and its control group: raise the limit of its pod, or find a leak.",
        look="`journalctl --dmesg --grep 'Killed process'` on the host",
    )
    yield _alert(
        "HostMemoryError",
        "increase(serving:host_memory_errors:total[1h]) > 0 "
        f"or increase(serving:host_memory_errors_corrected:total[1d]) > {CORRECTED_PER_DAY}",
        holds="0m",
        severity="warning",
        summary=f"A memory module of {NODE} fails",
        impact="The host may stop without warning.",
        found="{{ $value | humanize }} errors that could not be corrected within an hour, or that could within a day",
        needed=f"none that could not, at most {CORRECTED_PER_DAY} that could",
        remedy="Drain the host (docs/operate/hosts.md) and have the module replaced.",
        look="`journalctl --dmesg --grep EDAC` on the host, and the board's own log (`ipmitool sel list`)",
    )


def _system() -> Iterator[Alert]:
    yield _alert(
        "HostServiceFailed",
        "avg_over_time(serving:host_service_failed:bool[5m]) > 0.5",
        holds="1m",
        severity="critical",
        summary=f"{{{{ $labels.name }}}} of {NODE} does not run",
        impact="Without containerd or the kubelet pods stop being looked after; without the fabric manager GPUs do not "
        "start; without keepalived or haproxy the API may lose its address.",
        found="a service that failed, or is started again and again",
        needed="one that runs",
        remedy="Read its log, mend what it names and start it.",
        look="`systemctl status <service>` and `journalctl --unit <service> --since -1h` on the host",
    )
    yield _alert(
        "WeightsDiffer",
        "count by (model) (count by (model, manifest) (serving:weights_held:info)) > 1",
        holds="2h",
        severity="warning",
        summary="Hosts hold different weights of {{ $labels.model }}",
        impact="Replicas answer differently, and nobody can tell which weights an answer came from.",
        found="{{ $value }} manifests",
        needed="one, that which the site pins",
        remedy="Run the phase models of site.yml for all GPU hosts. While a new model is staged this is no fault.",
        look="`serving:weights_held:info` in Prometheus; `sha256sum <folder of the model>/manifest.json` on the hosts",
    )
    yield _alert(
        "ClockApart",
        f"serving:host_clock_apart:seconds > {APART_SECONDS}",
        holds="10m",
        severity="warning",
        summary=f"The clock of {NODE} is wrong",
        impact="Certificates and tokens are refused, and logs of hosts cannot be put side by side.",
        found="{{ $value | humanizeDuration }} beside Prometheus' clock",
        needed=f"at most {APART_SECONDS} s",
        remedy="If all hosts but one show this, it is the host of Prometheus. See whether the time servers answer.",
        look="`chronyc tracking` and `chronyc sources` on the host",
    )
    yield _alert(
        "HostTextFailed",
        "serving:host_text_failed:bool > 0",
        holds="5m",
        severity="warning",
        summary=f"A file of measurements on {NODE} cannot be read",
        impact="What it tells is unknown, such as the age of backups and certificates.",
        found="a file that is no exposition",
        needed="files that Prometheus can read",
        remedy="Remove the file that the exporter's log names; the program that wrote it writes it anew.",
        look="`journalctl --unit prometheus-node-exporter --lines 20` on the host",
    )
