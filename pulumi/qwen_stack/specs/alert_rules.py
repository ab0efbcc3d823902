"""Prometheus' rules: `serving:*` recording rules, which are the contract, and the alerts, which read only those."""

from __future__ import annotations

import yaml

from qwen_stack.settings import Monitoring
from qwen_stack.specs import engine_rules
from qwen_stack.specs.manifest import Manifest

MIB = 1_048_576


def recording_rules() -> list[Manifest]:
    """Rules for GPUs. DCGM reports percent and MiB, the contract has ratios and bytes; both have Celsius and watts."""
    return [
        {"record": "serving:gpu_utilization:ratio", "expr": "DCGM_FI_DEV_GPU_UTIL / 100"},
        {"record": "serving:gpu_memory_used:bytes", "expr": f"DCGM_FI_DEV_FB_USED * {MIB}"},
        {"record": "serving:gpu_memory_free:bytes", "expr": f"DCGM_FI_DEV_FB_FREE * {MIB}"},
        {"record": "serving:gpu_temperature:celsius", "expr": "DCGM_FI_DEV_GPU_TEMP"},
        {"record": "serving:gpu_power:watts", "expr": "DCGM_FI_DEV_POWER_USAGE"},
    ]


def alerts(monitoring: Monitoring) -> list[Manifest]:
    threshold = monitoring.gpu_utilization_threshold
    return [
        {
            "alert": "HighGPUUsage",
            # Utilisation is a gauge, so this is its average over the window; rate() would give its slope.
            "expr": f"avg_over_time(serving:gpu_utilization:ratio[5m]) > {threshold}",
            "for": "5m",
            "labels": {"severity": "critical"},
            "annotations": {
                "summary": "GPU {{ $labels.gpu }} of {{ $labels.node }} has no headroom",
                "found": "{{ $value | humanizePercentage }} utilisation on average over 5 minutes",
                "needed": f"at most {threshold:.0%}, so that a burst does not queue",
                "remedy": "Compare with the other GPUs: all high means too few replicas (raise its replicas); "
                "one high means uneven load (see the gateway's sessions for each server).",
            },
        }
    ]


def rules_file(monitoring: Monitoring) -> str:
    groups = [
        {"name": "serving", "rules": recording_rules()},
        {"name": "engines", "rules": engine_rules.recording_rules()},
        {"name": "alerts", "rules": alerts(monitoring)},
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=120)
