"""Series with which each alert of the cluster fires, and series that look alike with which it must not."""

from __future__ import annotations

from .alert_cases import LONG, Case, Series


def of(job: str, name: str, values: str, labels: str = "") -> Series:
    return {f'{name}{{instance="h",job="{job}",node="cp1"{"," + labels if labels else ""}}}': values}


def api(name: str, values: str, labels: str = "") -> Series:
    return of("kube-apiserver", f"apiserver_{name}", values, labels)


def api_servers(*values: str) -> Series:
    return {f'up{{instance="{index}",job="kube-apiserver",node="cp{index}"}}': up for index, up in enumerate(values)}


def etcd(name: str, values: str) -> Series:
    return of("etcd", f"etcd_{name}", values)


def timed(seconds: str, answers: str, verb: str = "GET") -> Series:
    labels = f'verb="{verb}",subresource=""'
    return api("request_duration_seconds_sum", seconds, labels) | api("request_duration_seconds_count", answers, labels)


def fsync(fast: str, every: str) -> Series:
    name = "etcd_disk_wal_fsync_duration_seconds_bucket"
    return (
        of("etcd", name, fast, 'le="0.064"')
        | of("etcd", name, every, 'le="0.256"')
        | of("etcd", name, every, 'le="+Inf"')
    )


def container(used: str, limit: str) -> Series:
    labels = 'namespace="qwen",pod="p",container="c"'
    return of("containers", "container_memory_working_set_bytes", used, labels) | of(
        "containers", "container_spec_memory_limit_bytes", limit, labels
    )


DISK = 'eviction_signal="nodefs.available"'
NODES = (
    Case(
        "KubeletDown",
        5,
        # One API server of two is enough to know who asks.
        (of("kubelet", "up", "0x20") | api_servers("0x20", "1x20"),),
        (
            of("kubelet", "up", "1x20") | api_servers("1x20"),
            of("kubelet", "up", "0 0 1x20") | api_servers("1x20"),
            # Without any API server all kubelets refuse Prometheus: ApiDown calls.
            of("kubelet", "up", "0x20") | api_servers("0x20", "0x20"),
        ),
    ),
    Case(
        "PodsEvicted",
        10,
        (
            of("kubelet", "kubelet_evictions", "1x5 2x10", DISK),
            # The first one, with which the counter appears.
            of("kubelet", "kubelet_evictions", "_x5 1x10", DISK) | of("kubelet", "up", "1x20"),
        ),
        (of("kubelet", "kubelet_evictions", "2x20", DISK),),
    ),
    Case(
        "RuntimeFails",
        25,
        (of("kubelet", "kubelet_runtime_operations_errors_total", "0+3x40", 'operation_type="run_podsandbox"'),),
        (of("kubelet", "kubelet_runtime_operations_errors_total", "0+1x40", 'operation_type="run_podsandbox"'),),
    ),
    Case(
        "ContainerMemoryNearLimit",
        15,
        (container("97x30", "100x30"),),
        (container("90x30", "100x30"), container("97x30", "0x30")),
    ),
)
CONTROL_PLANE = (
    Case("ApiDown", 5, (of("kube-apiserver", "up", "0x20"),), (of("kube-apiserver", "up", "1x20"),)),
    Case(
        "ApiErrors",
        20,
        (api("request_total", "0+10x40", 'code="500"') | api("request_total", "0+90x40", 'code="200"'),),
        (
            api("request_total", "0+1x40", 'code="500"') | api("request_total", "0+90x40", 'code="200"'),
            api("request_total", "0+50x40", 'code="404"') | api("request_total", "0+50x40", 'code="200"'),
            # One error in a quiet hour.
            api("request_total", "0x15 1x40", 'code="500"') | api("request_total", "9x40", 'code="200"'),
        ),
    ),
    Case(
        "ApiSlow",
        30,
        (timed("0+90x50", "0+60x50"),),
        (timed("0+9x50", "0+60x50"), timed("0+3600x50", "0+60x50", "WATCH"), timed("0+9x50", "0+3x50")),
    ),
    Case(
        "EtcdNoLeader",
        5,
        (of("etcd", "etcd_server_has_leader", "0x20"),),
        (of("etcd", "etcd_server_has_leader", "1x20"),),
    ),
    Case("EtcdDown", 5, (of("etcd", "up", "0x20"),), (of("etcd", "up", "1x20"),)),
    Case("EtcdSlow", 30, (fsync("0+90x50", "0+100x50"),), (fsync("0+100x50", "0+100x50"),)),
    Case(
        "EtcdLeaderChanges",
        60,
        (etcd("server_leader_changes_seen_total", f"1x20 2x4 3x4 4x4 5x{LONG}"),),
        (etcd("server_leader_changes_seen_total", f"9x20 10x{LONG}"),),
    ),
    Case(
        "EtcdFull",
        15,
        (
            of("etcd", "etcd_mvcc_db_total_size_in_bytes", "90x30")
            | of("etcd", "etcd_server_quota_backend_bytes", "100x30"),
        ),
        (
            of("etcd", "etcd_mvcc_db_total_size_in_bytes", "70x30")
            | of("etcd", "etcd_server_quota_backend_bytes", "100x30"),
        ),
    ),
)


def told(name: str, values: str, labels: str = "") -> Series:
    return of("node-exporter", f"qwen_{name}", values, labels)


TOLD = 'file="/var/lib/node-metrics/certificates.prom"'
CERTIFICATE = 'file="/etc/kubernetes/pki/apiserver.crt"'


def left(days: float) -> Series:
    """Certificate with so many days left after half an hour."""
    return told("certificate_end_seconds", f"{days * 86400 + 1800:.0f}x40", CERTIFICATE)


UPKEEP = (
    Case(
        "BackupOld",
        20,
        (told("etcd_backup_time_seconds", "-50000x30"), {}),
        (told("etcd_backup_time_seconds", "-40000x30"),),
    ),
    Case(
        "CertificateExpires",
        30,
        (left(13), of("kubelet", "kubelet_certificate_manager_client_ttl_seconds", "86400x40")),
        (left(15), of("kubelet", "kubelet_certificate_manager_client_ttl_seconds", "8640000x40")),
    ),
    Case("CertificateEnds", 30, (left(1),), (left(3),)),
    Case(
        "CertificatesUnread",
        20,
        (of("node-exporter", "node_textfile_mtime_seconds", "-20000x30", TOLD), {}),
        (of("node-exporter", "node_textfile_mtime_seconds", "-2000x30", TOLD),),
    ),
)
CLUSTER = (*NODES, *CONTROL_PLANE, *UPKEEP)
