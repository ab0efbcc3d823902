"""Rows of the dashboards about hosts, the machines below the GPUs. Data come from the hosts of monitoring.hosts."""

from __future__ import annotations

from qwen_stack.dashboards.panels import RATE, Panel, Row

NODE = '{node=~"$node"}'

FLEET_HOSTS = Row(
    "Hosts",
    (
        Panel("Processors in use", "percentunit", (("serving:host_cpu_used:ratio", "{{node}}"),)),
        Panel("Free memory", "percentunit", (("serving:host_memory_free:ratio", "{{node}}"),)),
        Panel(
            "Room on the fullest disk",
            "percentunit",
            (("min by (node) (serving:host_filesystem_free:ratio)", "{{node}}"),),
        ),
    ),
)
MACHINE = (
    Row(
        "Machine",
        (
            Panel("Processors in use", "percentunit", ((f"serving:host_cpu_used:ratio{NODE}", "{{node}}"),)),
            Panel("Free memory", "percentunit", ((f"serving:host_memory_free:ratio{NODE}", "{{node}}"),)),
            Panel("Time since boot", "s", ((f"time() - serving:host_boot_time:seconds{NODE}", "{{node}}"),)),
        ),
    ),
    Row(
        "Disks",
        (
            Panel(
                "Free room", "percentunit", ((f"serving:host_filesystem_free:ratio{NODE}", "{{node}} {{mountpoint}}"),)
            ),
            Panel("Busy", "percentunit", ((f"serving:host_disk_busy:ratio{NODE}", "{{node}} {{device}}"),)),
            Panel(
                "Read and written",
                "Bps",
                (
                    (f"rate(serving:host_disk_read_bytes:total{NODE}[{RATE}])", "{{node}} {{device}} read"),
                    (f"rate(serving:host_disk_written_bytes:total{NODE}[{RATE}])", "{{node}} {{device}} written"),
                ),
            ),
        ),
    ),
    Row(
        "Network and faults",
        (
            Panel(
                "Received and sent",
                "Bps",
                (
                    (f"rate(serving:host_nic_received_bytes:total{NODE}[{RATE}])", "{{node}} {{device}} received"),
                    (f"rate(serving:host_nic_sent_bytes:total{NODE}[{RATE}])", "{{node}} {{device}} sent"),
                ),
            ),
            Panel(
                "Damaged packets of an hour",
                "short",
                (
                    (f"increase(serving:host_nic_errors:total{NODE}[1h])", "{{node}} {{device}}"),
                    (f"increase(serving:host_infiniband_errors:total{NODE}[1h])", "{{node}} {{device}} {{port}}"),
                ),
            ),
            Panel(
                "Missing drives and failed services",
                "short",
                (
                    (f"serving:host_raid_missing:disks{NODE}", "{{node}} {{device}}"),
                    (f"sum by (node, name) (serving:host_service_failed:bool{NODE})", "{{node}} {{name}}"),
                ),
            ),
        ),
    ),
)
