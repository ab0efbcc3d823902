"""The cluster below the stack: the `serving:*` series of kubelets, containers, API and etcd."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.manifest import Manifest

KUBELET, KUBELET_PORT = "kubelet", 10250
CONTAINERS = "containers"
API, API_PORT = "kube-apiserver", 6443
ETCD, ETCD_PORT = "etcd", 2381
TARGET = "by (job, instance, node)"
# A container that starts again has a series beside its former self's for a while.
CONTAINER = "by (job, node, namespace, pod, container)"
LONG_LIVED = "WATCH|CONNECT|WATCHLIST"
# A counter that appears with the first event would hide it from increase().
NONE_YET = f'0 * (up{{job="{KUBELET}"}} == 1)'
SERIES: Mapping[str, Mapping[str, str]] = {
    KUBELET: {
        "kubelet_pods:pods": "kubelet_running_pods",
        "kubelet_evictions:total": f"sum {TARGET} (kubelet_evictions) or {NONE_YET}",
        "kubelet_runtime_errors:total": f"sum {TARGET} (kubelet_runtime_operations_errors_total) or {NONE_YET}",
        "kubelet_certificate_left:seconds": "kubelet_certificate_manager_client_ttl_seconds",
    },
    CONTAINERS: {
        "container_memory_used:bytes": f"max {CONTAINER} (container_memory_working_set_bytes)",
        "container_memory_limit:bytes": f"max {CONTAINER} (container_spec_memory_limit_bytes) > 0",
        "container_cpu_used:cores": f"max {CONTAINER} (rate(container_cpu_usage_seconds_total[5m]))",
    },
    API: {
        "api_answers:total": 'sum by (job, instance, node, class) (label_replace(apiserver_request_total, "class", '
        '"${1}xx", "code", "(.).*"))',
        "api_seconds:total": f"sum {TARGET} "
        f'(apiserver_request_duration_seconds_sum{{verb!~"{LONG_LIVED}",subresource!="log"}})',
        "api_timed_answers:total": f"sum {TARGET} "
        f'(apiserver_request_duration_seconds_count{{verb!~"{LONG_LIVED}",subresource!="log"}})',
        "api_in_flight:requests": f"sum {TARGET} (apiserver_current_inflight_requests)",
        "cluster_objects:objects": "max by (group, resource) (apiserver_resource_objects) >= 0",
    },
    ETCD: {
        "etcd_has_leader:bool": "etcd_server_has_leader",
        "etcd_leader_changes:total": "etcd_server_leader_changes_seen_total",
        "etcd_failed_proposals:total": "etcd_server_proposals_failed_total",
        "etcd_size:bytes": "etcd_mvcc_db_total_size_in_bytes",
        "etcd_size_limit:bytes": "etcd_server_quota_backend_bytes",
        "etcd_fsync:seconds_bucket": "etcd_disk_wal_fsync_duration_seconds_bucket",
    },
}
NAMES = r"\b(?:kubelet|container|apiserver|etcd)_\w+"


def jobs(monitoring: Monitoring) -> tuple[str, ...]:
    """Jobs that the stack's hosts allow."""
    return (KUBELET, CONTAINERS, *((API, ETCD) if monitoring.control_plane_hosts else ()))


def recording_rules(monitoring: Monitoring) -> list[Manifest]:
    every = {name: expression for job in jobs(monitoring) for name, expression in SERIES[job].items()}
    return [{"record": f"serving:{name}", "expr": expression} for name, expression in every.items()]


def kept(job: str) -> Manifest:
    """Rule by which Prometheus keeps what is read here of a job and nothing else."""
    names = {name for expression in SERIES[job].values() for name in re.findall(NAMES, expression)}
    return {"source_labels": ["__name__"], "regex": "|".join(sorted(names)), "action": "keep"}


def kept_containers(namespace: str) -> Manifest:
    """Rule that keeps the containers of a namespace, and not the sums of pods and hosts beside them."""
    return {"source_labels": ["namespace", "container"], "regex": f"{namespace};.+", "action": "keep"}
