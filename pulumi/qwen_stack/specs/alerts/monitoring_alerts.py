"""Alerts of what watches: targets, Prometheus, Alertmanager, and the watchdog that shows that they all work."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_stack.specs.alerts import cluster_rules, host_rules
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.monitoring import dcgm_exporter

# Its absence at a receiver outside says that Prometheus or Alertmanager is dead.
WATCHDOG = "Watchdog"
# Delay of series for a store outside above which it is called away.
BEHIND_SECONDS = 600
# Series of the contract that every target of a job yields, whatever it does. Another version that names them otherwise
# answers as well as ever, and every alert about them would be quiet.
YIELDED = {
    dcgm_exporter.NAME: (
        "gpu_utilization:ratio",
        "gpu_memory_used:bytes",
        "gpu_temperature:celsius",
        "gpu_power:watts",
        "gpu_last_xid:code",
    ),
    gateway.NAME: ("gateway_answers:total", "gateway_cut:total", "gateway_connections:connections"),
    "model-server": ("requests_running:requests", "requests_waiting:requests", "generation_tokens:total"),
    "supervisor": ("state",),
    host_rules.NODE_EXPORTER: ("host_cpu_used:ratio", "host_memory_free:ratio", "host_filesystem_free:ratio"),
    cluster_rules.KUBELET: ("kubelet_pods:pods",),
    cluster_rules.API: ("api_answers:total",),
    cluster_rules.ETCD: ("etcd_has_leader:bool",),
}

# Jobs with an alert of their own for a target that does not answer.
TOLD_BY_THEIR_OWN = (host_rules.NODE_EXPORTER, cluster_rules.KUBELET, cluster_rules.API, cluster_rules.ETCD)


def _without(job: str, name: str) -> str:
    """Targets of a job that answer and do not yield a series, by the label `series`."""
    series = f"serving:{name}"
    return f'label_replace(up{{job="{job}"}} == 1 unless on (job, instance) {series}, "series", "{series}", "", "")'


def alerts(jobs: Sequence[str], replicated: Sequence[str], scrape_seconds: int) -> list[Alert]:
    """Alerts about all scrape `jobs`. Targets of `replicated` ones come and go with rollouts; others say how many."""
    vanished = " or ".join(f'absent(up{{job="{job}"}})' for job in jobs)
    unnamed = " or ".join(_without(job, name) for job in jobs for name in YIELDED.get(job, ()))
    steady = "|".join(job for job in jobs if job not in (*replicated, *TOLD_BY_THEIR_OWN))
    return [
        Alert(
            name="TargetDown",
            # The kubelet answers for the containers, too.
            expression=f'up{{job=~"{steady}"}} == 0 unless on (node) up{{job="{cluster_rules.KUBELET}"}} == 0',
            holds="5m",
            severity="warning",
            owner="monitoring",
            summary="{{ $labels.job }} at {{ $labels.instance }} does not answer Prometheus",
            impact="What it reports is unknown; alerts about it do not fire.",
            found="failed scrapes for 5 minutes",
            needed="an answer within scrape_timeout",
            remedy="Look whether its pod runs; an exporter that hangs is deleted, and comes back.",
            look="Status, Targets in Prometheus: it says the last error",
        ),
        Alert(
            name="TargetsVanished",
            expression=vanished,
            holds="5m",
            severity="critical",
            owner="monitoring",
            summary="Prometheus knows no target of {{ $labels.job }}",
            impact="Nothing about it is measured, and no alert about it can fire.",
            found="no target",
            needed="at least one",
            remedy="Look at the service and the pods of that name, then at the cluster's DNS.",
            look="`kubectl -n <namespace> get pods,endpointslices`, Status, Service Discovery in Prometheus",
        ),
        Alert(
            name="MeasurementsMissing",
            expression=unnamed,
            holds="10m",
            severity="warning",
            owner="monitoring",
            summary="{{ $labels.job }} at {{ $labels.instance }} answers without {{ $labels.series }}",
            impact="Alerts and dashboards that read it are silent, whatever happens.",
            found="an exposition that lacks what this series is made of, for 10 minutes",
            needed="the names that the stack's version of it writes",
            remedy="Compare its version with this bundle's; an exporter that cannot read its device is deleted.",
            look="the target's /metrics; the rule of that series under Status, Rules in Prometheus",
        ),
        Alert(
            name="ScrapesRefused",
            expression="increase(prometheus_target_scrapes_exceeded_sample_limit_total[15m]) > 0 "
            "or increase(prometheus_target_scrapes_sample_duplicate_timestamp_total[15m]) > 0",
            holds="0m",
            severity="warning",
            owner="monitoring",
            summary="Prometheus refuses what a target reports",
            impact="All series of that target are missing.",
            found="{{ $value | humanize }} scrapes with too many series, or with the same series twice",
            needed="at most the job's sample_limit",
            remedy="Find the label that grew, and who feeds it; raise the limit only if the growth is meant.",
            look='Status, Targets in Prometheus; `topk(10, count by (__name__, job) ({__name__=~".+"}))`',
        ),
        Alert(
            name="RulesFail",
            expression="increase(prometheus_rule_evaluation_failures_total[10m]) > 0 "
            "or increase(prometheus_rule_group_iterations_missed_total[10m]) > 0",
            holds="5m",
            severity="critical",
            owner="monitoring",
            summary="Prometheus cannot evaluate rules of {{ $labels.rule_group }}",
            impact="Alerts of this group may not fire.",
            found="{{ $value | humanize }} failed or missed evaluations within 10 minutes",
            needed="none",
            remedy="Read the rule's error; missed evaluations mean that Prometheus has too little CPU.",
            look="Status, Rules in Prometheus; `kubectl -n <namespace> logs deployment/prometheus`",
        ),
        Alert(
            name="StorageFails",
            expression="increase(prometheus_tsdb_compactions_failed_total[1h]) > 0 "
            "or increase(prometheus_tsdb_wal_writes_failed_total[1h]) > 0 "
            "or increase(prometheus_tsdb_wal_truncations_failed_total[1h]) > 0",
            holds="0m",
            severity="critical",
            owner="monitoring",
            summary="Prometheus cannot write its data",
            impact="History is being lost; after a restart more may be missing.",
            found="{{ $value | humanize }} failed writes within an hour",
            needed="none",
            remedy="Look whether the volume is full or read-only; give it more room (monitoring.storageLimit).",
            look="`kubectl -n <namespace> exec deployment/prometheus -- df /prometheus`, and its log",
        ),
        _nothing_kept(scrape_seconds),
        Alert(
            name="AlertsNotSent",
            expression="rate(prometheus_notifications_errors_total[5m]) > 0 "
            "or rate(prometheus_notifications_dropped_total[5m]) > 0 "
            "or prometheus_notifications_alertmanagers_discovered < 1",
            holds="5m",
            severity="critical",
            owner="monitoring",
            summary="Prometheus does not reach Alertmanager",
            impact="Nobody hears of any alert.",
            found="notifications that failed for 5 minutes",
            needed="an Alertmanager that takes them",
            remedy="Look at Alertmanager's pod. This alert is seen in Prometheus alone; outside, the watchdog's "
            "absence tells.",
            look="`kubectl -n <namespace> get pods -l app.kubernetes.io/name=alertmanager`",
        ),
        Alert(
            name="NotificationsFail",
            expression="sum by (integration) (rate(alertmanager_notifications_failed_total[5m])) > 0",
            holds="5m",
            severity="critical",
            owner="monitoring",
            summary="Alertmanager cannot deliver by {{ $labels.integration }}",
            impact="Alerts fire and nobody hears of them.",
            found="failed deliveries for 5 minutes",
            needed="none",
            remedy="Try the address of monitoring.alertWebhookUrl from a node; Alertmanager's log says what it got.",
            look="`kubectl -n <namespace> logs deployment/alertmanager`",
        ),
        Alert(
            name=WATCHDOG,
            expression="vector(1)",
            holds="0m",
            severity="none",
            owner="monitoring",
            summary="Prometheus and Alertmanager work",
            impact="None: this one always fires, and somebody outside must miss it.",
            found="an evaluation that reached Alertmanager",
            needed="one every few minutes",
            remedy="If it stops arriving, look at Prometheus and Alertmanager first, then at the way to the receiver.",
            look="`kubectl -n <namespace> get pods`",
        ),
    ]


def _nothing_kept(scrape_seconds: int) -> Alert:
    """Alert that is computed from the age of the newest sample: on a full volume no counter of failures is kept either.

    A Prometheus that has just started has no sample yet, for as long as two measurements.
    """
    minutes = -(-max(60, 2 * scrape_seconds) // 60)
    return Alert(
        name="MeasurementsNotKept",
        expression=f"time() - max(timestamp(up)) > {3 * scrape_seconds} or absent(up)",
        holds=f"{minutes}m",
        severity="critical",
        owner="monitoring",
        summary="Prometheus keeps nothing of what it measures",
        impact="Five minutes after the last sample every other alert ends and is told as resolved, whatever is broken; "
        "no new one fires.",
        found="no new sample of any target",
        needed="one at each measurement",
        remedy="Make room where its data lie, or repair that disk: it goes on by itself and has what it had before. "
        "monitoring.storageLimit must fit the volume with all else that lies there.",
        look="`kubectl -n <namespace> logs deployment/prometheus`: `no space left on device`, `read-only file system`; "
        "`df` on the host",
    )


def series_not_sent() -> Alert:
    """Alert of a stack that sends its series to a store outside."""
    newest = "prometheus_remote_storage_highest_timestamp_in_seconds"
    sent = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds"
    return Alert(
        name="SeriesNotSent",
        expression=f"max({newest}) - min({sent}) > {BEHIND_SECONDS} "
        "or increase(prometheus_remote_storage_samples_failed_total[15m]) > 0",
        holds="5m",
        severity="warning",
        owner="monitoring",
        summary="The store outside does not get what Prometheus measures",
        impact="Dashboards and alerts over several sites see this one late; those of the site go on.",
        found=f"series that were sent later than {BEHIND_SECONDS // 60} minutes, or that the store refused",
        needed="series that arrive within a minute",
        remedy="Try the address of monitoring.remoteWriteUrl from a node. After about two hours what waits is lost.",
        look="`kubectl -n <namespace> logs deployment/prometheus | grep remote`",
    )
