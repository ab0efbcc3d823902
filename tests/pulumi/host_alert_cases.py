"""Series with which each alert of a host fires, and series that look alike with which it must not."""

from __future__ import annotations

from .alert_cases import LONG, Case, Series

HOST = 'instance="h:9100",job="node-exporter",node="gpu1"'
ROOT = 'device="/dev/sda2",fstype="ext4",mountpoint="/"'


def host(name: str, values: str, labels: str = "") -> Series:
    return {f"node_{name}{{{HOST}{',' + labels if labels else ''}}}": values}


def answers(value: str) -> Series:
    return {f"up{{{HOST}}}": value}


def room(free: str, files: str = f"90x{LONG}") -> Series:
    """File system with these free shares in percent."""
    return (
        host("filesystem_avail_bytes", free, ROOT)
        | host("filesystem_size_bytes", f"100x{LONG}", ROOT)
        | host("filesystem_files_free", files, ROOT)
        | host("filesystem_files", f"100x{LONG}", ROOT)
    )


def drives(active: int) -> Series:
    return host("md_disks_required", "2x20", 'device="md0"') | host(
        "md_disks", f"{active}x20", 'device="md0",state="active"'
    )


def service(state: str, values: str) -> Series:
    return host("systemd_unit_state", values, f'name="kubelet.service",state="{state}",type="simple"')


def damaged(received: str) -> Series:
    card = 'device="eth0"'
    return host("network_receive_errs_total", received, card) | host("network_transmit_errs_total", "7x40", card)


def port_errors(received: str) -> Series:
    port = 'device="mlx5_0",port="1"'
    return host("infiniband_port_errors_received_total", received, port) | host(
        "infiniband_link_error_recovery_total", "0x40", port
    )


def weights(node: str, manifest: str, model: str = "m") -> Series:
    labels = f'job="node-exporter",node="{node}",model="{model}",manifest="{manifest}"'
    return {f"qwen_weights_info{{{labels}}}": f"1x{LONG}"}


HOSTS = (
    Case("HostDown", 5, (answers("0x20"),), (answers("1x20"), answers("0x3 1x20"))),
    Case(
        "DiskFills",
        90,
        (room(f"9x{LONG}"), room(f"90x{LONG}", f"9x{LONG}"), room(f"24-0.05x{LONG}")),
        (room(f"24x{LONG}"), room(f"90-0.1x{LONG}"), room(f"14+0.1x{LONG}"), room(f"_x40 24-0.05x{LONG}")),
    ),
    Case("DiskFull", 5, (room("2x20"), room("90x20", "2x20")), (room("5x20"), room("50x20"))),
    Case(
        "DiskFailed",
        10,
        (host("filesystem_device_error", "1x20", ROOT), host("filesystem_readonly", "0x5 1x20", ROOT)),
        (host("filesystem_device_error", "0x20", ROOT), host("filesystem_readonly", "1x20", ROOT)),
    ),
    Case("RaidDegraded", 5, (drives(1),), (drives(2),)),
    Case(
        "NicDown",
        10,
        (host("network_up", "1x5 0x20", 'device="eth0"'),),
        (host("network_up", "0x20", 'device="eth9"'), host("network_up", "1x20", 'device="eth0"')),
    ),
    Case(
        "InfinibandDown",
        10,
        (host("infiniband_state_id", "4x5 1x20", 'device="mlx5_0",port="1"'),),
        (
            host("infiniband_state_id", "1x20", 'device="mlx5_1",port="1"'),
            host("infiniband_state_id", "4x20", 'device="mlx5_0",port="1"'),
        ),
    ),
    Case(
        "NicErrors",
        20,
        (damaged("0+20x40"), port_errors("0+5x40")),
        (damaged("9000x40"), damaged("0+1x40"), port_errors("50x40")),
    ),
    Case(
        "HostMemoryLow",
        15,
        (host("memory_MemAvailable_bytes", "4x30") | host("memory_MemTotal_bytes", "100x30"),),
        (host("memory_MemAvailable_bytes", "8x30") | host("memory_MemTotal_bytes", "100x30"),),
    ),
    Case("HostMemoryKills", 10, (host("vmstat_oom_kill", "3x5 4x10"),), (host("vmstat_oom_kill", "3x20"),)),
    Case(
        "HostMemoryError",
        60,
        (
            host("edac_uncorrectable_errors_total", f"0x50 1x{LONG}", 'controller="0"'),
            host("edac_correctable_errors_total", f"0+30x{LONG}", 'controller="0"'),
        ),
        (
            host("edac_uncorrectable_errors_total", f"1x{LONG}", 'controller="0"'),
            host("edac_correctable_errors_total", f"0+1x{LONG}", 'controller="0"'),
        ),
    ),
    Case(
        "HostServiceFailed",
        12,
        (service("failed", "1x20"), service("activating", "1 0 1 1 1 1 0 1 1 1 1 1 1 1")),
        (service("failed", "0x20"), service("activating", "0x5 1 0x20")),
    ),
    Case(
        "WeightsDiffer",
        150,
        (weights("gpu1", "a") | weights("gpu2", "b"),),
        (weights("gpu1", "a") | weights("gpu2", "a"), weights("gpu1", "a") | weights("gpu2", "b", "other")),
    ),
    Case("ClockApart", 15, (host("time_seconds", "30+60x30"),), (host("time_seconds", "0+60x30"),)),
    Case("HostTextFailed", 10, (host("textfile_scrape_error", "1x20"),), (host("textfile_scrape_error", "0x20"),)),
)
