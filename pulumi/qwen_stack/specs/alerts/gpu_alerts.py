"""Alerts of GPUs and of the hosts that hold them."""

from __future__ import annotations

from collections.abc import Iterable

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.alerts.gpu_rules import BY_APPLICATION, FELL_OFF_THE_BUS, NEEDS_RESET

GPU = "GPU {{ $labels.gpu }} of {{ $labels.node }}"
HOT_CELSIUS = 85
DRAIN = "Drain the host (docs/operate/hosts.md)"
CLOCKS = "`nvidia-smi -q -d PERFORMANCE` on the host; `serving:gpu_clock_event:bool`"
NVIDIA_SMI = "`nvidia-smi -q -i <gpu>` and `journalctl --dmesg --grep NVRM` on the host"


def alerts(monitoring: Monitoring) -> list[Alert]:
    return [*_load(monitoring), *_presence(), *_faults(), *_division()]


def _load(monitoring: Monitoring) -> Iterable[Alert]:
    threshold = monitoring.gpu_utilization_threshold
    yield Alert(
        name="HighGPUUsage",
        # Utilisation is a gauge, so this is its average over the window; rate() would give its slope. A full GPU is
        # what a site paid for: it is a fault only where requests wait for it.
        expression=f"avg_over_time(serving:gpu_utilization:ratio[5m]) > {threshold} "
        "and on () sum(avg_over_time(serving:requests_waiting:requests[5m])) >= 1",
        holds="5m",
        severity="critical",
        owner="serving",
        summary=f"{GPU} has no headroom while requests wait",
        impact="Requests wait before their first token.",
        found="{{ $value | humanizePercentage }} utilisation on average over 5 minutes, and requests in the queue",
        needed=f"at most {threshold:.0%}, or no queue",
        remedy="Compare with the other GPUs: all high means too few replicas (raise its replicas); "
        "one high means uneven load (see the gateway's requests for each server).",
        look="`serving:requests_waiting:requests` and `serving:gpu_utilization:ratio` in Prometheus",
    )


def _presence() -> Iterable[Alert]:
    # A GPU that fell off the bus says so by its XID, which calls by itself.
    told = f"serving:gpu_last_xid:code == {FELL_OFF_THE_BUS}"
    seen = f"count by (node) (serving:gpu_temperature:celsius or on (node, gpu) {told})"
    yield Alert(
        name="GpuLost",
        expression=f"{seen} < on () group_left () serving:planned_gpus_per_host:gpus",
        holds="2m",
        severity="critical",
        owner="platform",
        summary="{{ $labels.node }} shows fewer GPUs than it has",
        impact="The replica on this host fails or cannot start again.",
        found="{{ $value }} GPUs that answer DCGM",
        needed="monitoring.gpusPerHost of the stack",
        remedy=f"{DRAIN}, then restart it. If the GPU stays away, open a case with the vendor.",
        look="`nvidia-smi -L`, `lspci -d 10de:`, and XID 79 in `journalctl --dmesg --grep NVRM` on the host",
    )
    yield Alert(
        name="HostVanished",
        # A dead host's exporter leaves the cluster's DNS, so that its target is not down but gone.
        expression="group by (node) (present_over_time(serving:gpu_temperature:celsius[1d])) "
        "unless on (node) group by (node) (serving:gpu_temperature:celsius)",
        holds="2m",
        severity="critical",
        owner="platform",
        summary="{{ $labels.node }} reported GPUs within the last day and does no longer",
        impact="Its replicas are gone; the others carry their load.",
        found="no GPU of this host",
        needed="readings of every GPU host",
        remedy="Look whether the host answers. A host that was taken out on purpose is silenced for a day.",
        look="`kubectl get nodes`, then the host's console; `kubectl -n <namespace> get pods -o wide` for its exporter",
    )


def _faults() -> Iterable[Alert]:
    yield Alert(
        name="GpuNeedsReset",
        expression=_any_of("serving:gpu_last_xid:code", NEEDS_RESET),
        holds="0m",
        severity="critical",
        owner="platform",
        summary=f"{GPU} reported a fault of the hardware",
        impact="The engine on this GPU has died or computes with errors.",
        found="XID {{ $value }}",
        needed="no XID that asks for a reset",
        remedy=f"{DRAIN}, reset the GPU (`nvidia-smi --gpu-reset -i <gpu>`) or restart the host, and run acceptance "
        "before it serves again. What each code asks for: docs/operate/repair.md. The code stays until the exporter "
        "starts anew.",
        look=NVIDIA_SMI,
    )
    yield Alert(
        name="GpuApplicationFault",
        expression=f"({_any_of('serving:gpu_last_xid:code', BY_APPLICATION)}) "
        "and changes(serving:gpu_last_xid:code[1h]) > 0",
        holds="0m",
        severity="warning",
        owner="serving",
        summary=f"{GPU} reported a fault that programs usually cause",
        impact="The engine on this GPU may have died; other GPUs are not affected.",
        found="XID {{ $value }} within the last hour",
        needed="no new XID",
        remedy="Read the engine's log. If the same GPU reports it under other engines or images too, treat it as "
        "broken hardware. docs/operate/repair.md has the codes.",
        look="`kubectl -n <namespace> logs <pod> --previous`, and " + NVIDIA_SMI,
    )
    yield _growing(
        "GpuMemoryError",
        "increase(serving:gpu_double_bit_errors:total[1h]) > 0",
        "double-bit errors within an hour",
        "has errors in its memory that ECC cannot correct",
        f"{DRAIN} and reset the GPU, so that the rows are remapped. Replace it where errors come back.",
    )
    yield _growing(
        "GpuRowsRemapped",
        "increase(serving:gpu_remapped_rows:total[1h]) > 0",
        "rows of its memory remapped within an hour",
        "has set broken rows of its memory aside",
        f"{DRAIN} and reset the GPU when the load is low: a remapping counts from the next reset on.",
        severity="warning",
    )
    yield _growing(
        "GpuRowRemapFailed",
        "serving:gpu_row_remap_failed:bool > 0",
        "a row that could not be remapped",
        "has no spare rows left for its broken memory",
        f"{DRAIN} and have the GPU replaced.",
    )
    yield _growing(
        "NvlinkErrors",
        "increase(serving:gpu_nvlink_recoveries:total[15m]) > 0 "
        "or increase(serving:gpu_nvlink_retries:total[15m]) > 10",
        "errors of NVLink within 15 minutes",
        "repeats transfers over NVLink",
        f"{DRAIN} and look at the fabric manager; errors that stay with one GPU or switch are the vendor's.",
        severity="warning",
        look="`nvidia-smi nvlink --errorcounters -i <gpu>`, `systemctl status nvidia-fabricmanager`",
    )
    yield Alert(
        name="GpuHot",
        expression=f"min_over_time(serving:gpu_temperature:celsius[5m]) > {HOT_CELSIUS}",
        holds="0m",
        severity="warning",
        owner="platform",
        summary=f"{GPU} is hot",
        impact="It will lower its clocks, and every GPU of the replica waits for the slowest.",
        found="at least {{ $value }} degrees Celsius for 5 minutes",
        needed=f"at most {HOT_CELSIUS}",
        remedy="Look at the fans, the filters and the temperature of the room; compare with the host's other GPUs.",
        look="`nvidia-smi -q -d TEMPERATURE` and the board's sensors (`ipmitool sdr type temperature`)",
    )
    hot = 'avg_over_time(serving:gpu_clock_event:bool{reason=~"sw_thermal|hw_thermal"}[5m])'
    yield Alert(
        name="GpuThrottled",
        # Drivers tell of heat by a counter, by a reason for lowered clocks, or both.
        expression="max by (node, gpu) (rate(serving:gpu_thermal_throttling:total[5m])) > 0 "
        f"or max by (node, gpu) ({hot}) > 0.5",
        holds="5m",
        severity="warning",
        owner="platform",
        summary=f"{GPU} runs slower because of heat",
        impact="Answers are slower: every GPU of a replica waits for the slowest.",
        found="clocks lowered by heat for 5 minutes",
        needed="full clocks",
        remedy="As for GpuHot.",
        look=CLOCKS,
    )
    yield Alert(
        name="GpuPowerBrake",
        expression='avg_over_time(serving:gpu_clock_event:bool{reason="hw_power_brake"}[5m]) > 0.5',
        holds="1m",
        severity="critical",
        owner="platform",
        summary=f"{GPU} is slowed down by the host's power supply",
        impact="It computes at half its clocks or less, and every GPU of the replica waits for it. One more power "
        "supply that fails may end the host.",
        found="the signal of a power brake for most of 5 minutes",
        needed="power supplies that carry the load",
        remedy="Look at the host's power supplies and at the circuits of the rack. If all are whole, they carry too "
        "much: lower the GPUs' limit (`nvidia-smi -pl <watts>`) until there is more.",
        look=CLOCKS + ", and `ipmitool sdr type 'Power Supply'` on the host",
    )


def _division() -> Iterable[Alert]:
    yield Alert(
        name="GpuDivided",
        expression="max by (node, gpu) (serving:gpu_divided:bool) > 0",
        holds="5m",
        severity="warning",
        owner="platform",
        summary=f"{GPU} is in MIG mode",
        impact="No engine can use it as a whole: a replica on this host does not start again.",
        found="a GPU that may be divided",
        needed="MIG mode off, as role nvidia_driver and acceptance ask",
        remedy=f"{DRAIN}, run `nvidia-smi -i <gpu> -mig 0` there and restart it; stop and disable nvidia-mig-manager "
        "if it runs.",
        look="`nvidia-smi --query-gpu=index,mig.mode.current,mig.mode.pending --format=csv` on the host",
    )


def _any_of(series: str, codes: Iterable[int]) -> str:
    return " or ".join(f"{series} == {code}" for code in codes)


def _growing(
    name: str, expression: str, found: str, state: str, remedy: str, severity: str = "critical", look: str = NVIDIA_SMI
) -> Alert:
    """Alert about the memory or the links of a GPU."""
    return Alert(
        name=name,
        expression=expression,
        holds="0m",
        severity="warning" if severity == "warning" else "critical",
        owner="platform",
        summary=f"{GPU} {state}",
        impact="The engine on this GPU may die, or its answers come late.",
        found="{{ $value | humanize }} " + found,
        needed="none",
        remedy=remedy,
        look=look,
    )
