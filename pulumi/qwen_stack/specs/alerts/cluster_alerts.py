"""Alerts of the cluster below the stack: kubelets, containers, API, etcd, its backups and certificates."""

from __future__ import annotations

from collections.abc import Iterator

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.alerts.cluster_rules import API, ETCD, KUBELET

NODE = "{{ $labels.node }}"
ALMOST = 0.95
API_ERRORS, LEAST_ERRORS, API_SECONDS = 0.03, 5, 1
FSYNC_SECONDS, FULL, LEADER_CHANGES = 0.1, 0.8, 3


def alerts(monitoring: Monitoring) -> list[Alert]:
    return [
        *(_of_nodes(monitoring) if monitoring.hosts else ()),
        *((*_api(), *_etcd()) if monitoring.control_plane_hosts else ()),
    ]


def _of_nodes(monitoring: Monitoring) -> Iterator[Alert]:
    # Kubelets ask an API server who Prometheus is: without any, all of them refuse it, and ApiDown says why.
    some_api = f' and on () max(up{{job="{API}"}}) == 1' if monitoring.control_plane_hosts else ""
    yield Alert(
        name="KubeletDown",
        expression=f'up{{job="{KUBELET}"}} == 0{some_api}',
        holds="2m",
        severity="critical",
        owner="platform",
        summary=f"The kubelet of {NODE} does not answer",
        impact="Its pods go on as they are; nothing starts, stops or is repaired, and soon the cluster gives them up.",
        found="no answer for 2 minutes",
        needed="an answer to a token that may read metrics",
        remedy="Read its log, mend what it names and start it. 401 or 403 in Prometheus' targets is a matter of the "
        "stack's ClusterRole.",
        look="`systemctl status kubelet` and `journalctl --unit kubelet --since -15m` on the host",
    )
    yield Alert(
        name="PodsEvicted",
        expression="increase(serving:kubelet_evictions:total[15m]) > 0",
        holds="0m",
        severity="warning",
        owner="platform",
        summary=f"{NODE} threw pods out",
        impact="They start again elsewhere where there is room; a model's replica needs free GPUs.",
        found="{{ $value | humanize }} pods within 15 minutes",
        needed="none",
        remedy="The pod's events say what ran out: disk, memory or numbers of processes. See DiskFills, HostMemoryLow.",
        look="`kubectl get events --all-namespaces --field-selector reason=Evicted`",
    )
    yield Alert(
        name="RuntimeFails",
        expression="increase(serving:kubelet_runtime_errors:total[15m]) > 20",
        holds="5m",
        severity="warning",
        owner="platform",
        summary=f"containerd of {NODE} refuses what the kubelet asks",
        impact="Pods on this host may not start or end.",
        found="{{ $value | humanize }} failed calls within 15 minutes",
        needed="at most 20",
        remedy="Read containerd's log. A pod that never starts asks for the same thing again and again.",
        look="`journalctl --unit containerd --since -15m` on the host",
    )
    yield Alert(
        name="ContainerMemoryNearLimit",
        expression=f"serving:container_memory_used:bytes > {ALMOST} * serving:container_memory_limit:bytes",
        holds="10m",
        severity="warning",
        owner="serving",
        summary="{{ $labels.container }} of {{ $labels.pod }} is near its limit of memory",
        impact="At the limit the kernel ends it.",
        found="{{ $value | humanize1024 }}B in use",
        needed=f"at most {ALMOST:.0%} of the limit",
        remedy="If it grew for days it is a leak: replace the pod and tell its makers. Otherwise raise memoryLimit.",
        look="`serving:container_memory_used:bytes` over the last days",
    )


def _api() -> Iterator[Alert]:
    log = "`kubectl -n kube-system logs kube-apiserver-<host>`"
    yield Alert(
        name="ApiDown",
        expression=f'up{{job="{API}"}} == 0',
        holds="2m",
        severity="critical",
        owner="platform",
        summary=f"The API server of {NODE} does not answer",
        impact="The others carry its load; without any, what runs goes on and nothing can change.",
        found="no answer for 2 minutes",
        needed="an answer with a certificate of the cluster's authority",
        remedy="Look at its container on the host, and at etcd there: without etcd it ends itself.",
        look="`crictl ps --name kube-apiserver` or `ctr -n k8s.io containers list`, and `journalctl --unit kubelet` on "
        "the host",
    )
    failed = f'sum by (node) (increase(serving:api_answers:total{{job="{API}",class="5xx"}}[10m]))'
    asked = f'sum by (node) (increase(serving:api_answers:total{{job="{API}"}}[10m]))'
    yield Alert(
        name="ApiErrors",
        expression=f"{failed} / {asked} > {API_ERRORS} and {failed} >= {LEAST_ERRORS}",
        holds="5m",
        severity="critical",
        owner="platform",
        summary=f"The API server of {NODE} answers with errors",
        impact="Pods may not start, end or be replaced.",
        found="{{ $value | humanizePercentage }} of the answers within 10 minutes",
        needed=f"at most {API_ERRORS:.0%}",
        remedy="Look at etcd first: most errors of the API are etcd's. Then at what its log names.",
        look=log,
    )
    seconds, answers = (f"increase(serving:{name}:total[10m])" for name in ("api_seconds", "api_timed_answers"))
    yield Alert(
        name="ApiSlow",
        expression=f"{seconds} / ({answers} > 100) > {API_SECONDS}",
        holds="10m",
        severity="warning",
        owner="platform",
        summary=f"The API server of {NODE} is slow",
        impact="Rollouts and repairs take longer; leases of controllers may be lost.",
        found="{{ $value | humanizeDuration }} for an answer on average",
        needed=f"at most {API_SECONDS} s",
        remedy="Look at the disk of etcd, then who asks so much (audit log), then the host's processors.",
        look=log,
    )


def _etcd() -> Iterator[Alert]:
    look = "`/usr/local/sbin/etcd-tool /tmp etcdctl endpoint status --cluster` on the host (role etcd_backup)"
    yield Alert(
        name="EtcdNoLeader",
        expression="serving:etcd_has_leader:bool == 0",
        holds="1m",
        severity="critical",
        owner="platform",
        summary=f"etcd of {NODE} has no leader",
        impact="Nothing in the cluster can be changed.",
        found="no leader for a minute",
        needed="a majority of members that reach each other",
        remedy="Bring members back until most of them run. If the majority is lost for good: docs/operate/restore.md.",
        look=look,
    )
    yield Alert(
        name="EtcdDown",
        expression=f'up{{job="{ETCD}"}} == 0',
        holds="2m",
        severity="critical",
        owner="platform",
        summary=f"etcd of {NODE} does not answer",
        impact="One more that fails may stop the cluster; a single one has stopped it.",
        found="no answer for 2 minutes",
        needed="every member",
        remedy="Look at its container and at its disk. The forward of its measurements is metrics-etcd.socket.",
        look="`journalctl --unit kubelet --since -15m` and `systemctl status metrics-etcd.socket` on the host",
    )
    yield Alert(
        name="EtcdSlow",
        expression=f"histogram_quantile(0.99, rate(serving:etcd_fsync:seconds_bucket[10m])) > {FSYNC_SECONDS}",
        holds="10m",
        severity="warning",
        owner="platform",
        summary=f"The disk of etcd on {NODE} is slow",
        impact="Every change waits for it; leaders are lost.",
        found="{{ $value | humanizeDuration }} for the slowest hundredth of writes to its log",
        needed=f"at most {FSYNC_SECONDS} s, and a tenth of that where it is healthy",
        remedy="Give /var/lib/etcd a drive of its own, or find what else writes there.",
        look="`serving:host_disk_busy:ratio`; `iostat -x 5` on the host",
    )
    yield Alert(
        name="EtcdLeaderChanges",
        expression=f"increase(serving:etcd_leader_changes:total[1h]) > {LEADER_CHANGES}",
        holds="0m",
        severity="warning",
        owner="platform",
        summary=f"etcd of {NODE} sees leaders come and go",
        impact="Each change stops the API for seconds.",
        found="{{ $value | humanize }} changes within an hour",
        needed=f"at most {LEADER_CHANGES}",
        remedy="Slow disks, full processors or a bad network between control-plane hosts: see EtcdSlow and NicErrors.",
        look=look,
    )
    yield Alert(
        name="EtcdFull",
        expression=f"serving:etcd_size:bytes > {FULL} * serving:etcd_size_limit:bytes",
        holds="10m",
        severity="critical",
        owner="platform",
        summary=f"etcd of {NODE} is nearly full",
        impact="When it is full it takes no change.",
        found="{{ $value | humanize1024 }}B",
        needed=f"at most {FULL:.0%} of its quota",
        remedy="Find who makes so many objects, delete them, then defragment one member after the other "
        "(`etcdctl defrag`).",
        look="`topk(5, serving:cluster_objects:objects)`",
    )
