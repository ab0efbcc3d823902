"""The dashboard of the cluster below the stack: kubelets, API, etcd, snapshots and certificates."""

from __future__ import annotations

from qwen_stack.dashboards.panels import RATE, Page, Panel, Row

FSYNC = f"sum by (node, le) (rate(serving:etcd_fsync:seconds_bucket[{RATE}]))"
ANSWERS = f"sum by (node, class) (rate(serving:api_answers:total[{RATE}]))"
MEAN = f"rate(serving:api_seconds:total[{RATE}]) / rate(serving:api_timed_answers:total[{RATE}])"

CLUSTER = Page(
    "qwen-cluster",
    "Cluster",
    "What the stack stands on. Data come from monitoring.hosts and monitoring.controlPlaneHosts.",
    (
        Row(
            "API",
            (
                Panel("Answers", "reqps", ((ANSWERS, "{{node}} {{class}}"),)),
                Panel("Time of an answer", "s", ((MEAN, "{{node}}"),)),
                Panel("Requests in flight", "short", (("serving:api_in_flight:requests", "{{node}}"),)),
            ),
        ),
        Row(
            "etcd",
            (
                Panel("Writes to its log, P99", "s", ((f"histogram_quantile(0.99, {FSYNC})", "{{node}}"),)),
                Panel(
                    "Size",
                    "bytes",
                    (
                        ("serving:etcd_size:bytes", "{{node}}"),
                        ("serving:etcd_size_limit:bytes", "{{node}} at most"),
                    ),
                ),
                Panel(
                    "Leaders and failed proposals of an hour",
                    "short",
                    (
                        ("increase(serving:etcd_leader_changes:total[1h])", "{{node}} leaders"),
                        ("increase(serving:etcd_failed_proposals:total[1h])", "{{node}} proposals"),
                    ),
                ),
            ),
        ),
        Row(
            "Nodes",
            (
                Panel("Pods", "short", (("serving:kubelet_pods:pods", "{{node}}"),)),
                Panel(
                    "Memory of containers",
                    "bytes",
                    (("serving:container_memory_used:bytes", "{{pod}} {{container}}"),),
                ),
                Panel(
                    "Processors of containers",
                    "short",
                    (("serving:container_cpu_used:cores", "{{pod}} {{container}}"),),
                ),
            ),
        ),
        Row(
            "Upkeep",
            (
                Panel("Age of the newest snapshot of etcd", "s", (("serving:backup_age:seconds", "{{node}}"),)),
                Panel(
                    "Time until the next certificate ends",
                    "s",
                    (
                        ("min by (node) (serving:certificate_left:seconds)", "{{node}}"),
                        ("serving:kubelet_certificate_left:seconds", "{{node}} kubelet"),
                    ),
                ),
                Panel(
                    "Most frequent objects",
                    "short",
                    (("topk(10, serving:cluster_objects:objects)", "{{group}} {{resource}}"),),
                ),
            ),
        ),
    ),
)
