"""Hosts: the `serving:host_*` series that are made of what the node exporters write."""

from __future__ import annotations

import re

from qwen_stack.specs.manifest import Manifest

NODE_EXPORTER, NODE_EXPORTER_PORT = "node-exporter", 9100
HOST = "by (job, instance, node)"
# Of a processor only its idle time is read: a host has hundreds of processors, and eight modes of each.
CPU = "node_cpu_seconds_total"
IDLE = f'{CPU}{{mode="idle"}}'
INFINIBAND_ACTIVE = 4
SERIES = {
    "host_boot_time:seconds": "node_boot_time_seconds",
    "host_cpu_used:ratio": f"1 - avg {HOST} (rate({IDLE}[5m]))",
    # The clock as the host tells it beside Prometheus' own: what certificates and logs of both are judged by.
    "host_clock_apart:seconds": "abs(node_time_seconds - timestamp(node_time_seconds))",
    "host_memory_free:ratio": "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "host_memory_kills:total": "node_vmstat_oom_kill",
    "host_memory_errors_corrected:total": f"sum {HOST} (node_edac_correctable_errors_total)",
    "host_memory_errors:total": f"sum {HOST} (node_edac_uncorrectable_errors_total)",
    "host_filesystem_free:ratio": "node_filesystem_avail_bytes / (node_filesystem_size_bytes > 0)",
    "host_filesystem_files_free:ratio": "node_filesystem_files_free / (node_filesystem_files > 0)",
    "host_filesystem_readonly:bool": "node_filesystem_readonly",
    "host_filesystem_failed:bool": "node_filesystem_device_error",
    "host_raid_missing:disks": 'node_md_disks_required - ignoring (state) node_md_disks{state="active"}',
    "host_disk_busy:ratio": "rate(node_disk_io_time_seconds_total[5m])",
    "host_disk_read_bytes:total": "node_disk_read_bytes_total",
    "host_disk_written_bytes:total": "node_disk_written_bytes_total",
    "host_nic_up:bool": "node_network_up",
    "host_nic_received_bytes:total": "node_network_receive_bytes_total",
    "host_nic_sent_bytes:total": "node_network_transmit_bytes_total",
    "host_nic_errors:total": "node_network_receive_errs_total + node_network_transmit_errs_total",
    "host_infiniband_up:bool": f"node_infiniband_state_id == bool {INFINIBAND_ACTIVE}",
    "host_infiniband_errors:total": "node_infiniband_link_error_recovery_total "
    "+ node_infiniband_port_errors_received_total",
    # A service that fails and is started again and again is never in state failed for long.
    "host_service_failed:bool": "max by (job, instance, node, name) "
    '(node_systemd_unit_state{state=~"failed|activating"})',
    # What other programs of the host tell: roles etcd_backup and weights, and node-certificates of role node_exporter.
    "backup_age:seconds": "time() - qwen_etcd_backup_time_seconds",
    "backup_size:bytes": "qwen_etcd_backup_size_bytes",
    "weights_held:info": "qwen_weights_info",
    "certificate_left:seconds": "qwen_certificate_end_seconds - time()",
    "certificates_told_ago:seconds": 'time() - node_textfile_mtime_seconds{file=~".*/certificates.prom"}',
    "host_text_failed:bool": "node_textfile_scrape_error",
}


def recording_rules() -> list[Manifest]:
    return [{"record": f"serving:{name}", "expr": expression} for name, expression in SERIES.items()]


def kept() -> list[Manifest]:
    """Rule by which Prometheus keeps what is read here and nothing else."""
    names = {name for expression in SERIES.values() for name in re.findall(r"\b(?:node|qwen)_\w+", expression)} - {CPU}
    regex = f"(?:{'|'.join(sorted(names))});|{CPU};idle"
    return [{"source_labels": ["__name__", "mode"], "regex": regex, "action": "keep"}]
