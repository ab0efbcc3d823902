"""Receivers of alerts, and which alert silences others: a cause calls, and what follows from it does not."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.alerts.monitoring_alerts import WATCHDOG
from qwen_stack.specs.manifest import Manifest

GROUP_WAIT_S = 10
WATCHDOG_MINUTES = 5
# A receiver without a target keeps alerts visible in the interface and sends them nowhere.
NOWHERE = "none"
# What speaks for it, what follows from it, and the labels that both must share. Alerts are named as PromQL names
# series: several by `|`, and labels in braces, which all of them must have.
INHIBITIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # Which host a replica or a gateway ran on is not known here: while a host is away, missing ones are no news.
    ("HostDown|HostVanished|KubeletDown", "ReplicasMissing|GatewaysMissing|TargetDown|EngineRestarted", ()),
    # The only GPU host takes the last targets of these jobs with it.
    (
        "HostDown|HostVanished|KubeletDown",
        'TargetsVanished{job=~"dcgm-exporter|model-server|supervisor"}',
        (),
    ),
    ("HostDown", "KubeletDown|ApiDown|EtcdDown|EtcdLeaderChanges|BackupOld|CertificatesUnread", ("node",)),
    ("HostDown|KubeletDown", "HostVanished", ("node",)),
    ("HostDown|HostVanished", "GpuLost|GpuThrottled|GpuHot|GpuPowerBrake", ("node",)),
    ("KubeletDown", 'HostServiceFailed{name="kubelet.service"}', ("node",)),
    ('HostServiceFailed{name="containerd.service"}', "RuntimeFails", ("node",)),
    ("CertificateEnds", "CertificateExpires", ("node", "file")),
    ("DiskFull", "DiskFills", ("node", "mountpoint")),
    ("DiskFull", "PodsEvicted", ("node",)),
    ("EtcdDown", "ApiDown|ApiErrors", ("node",)),
    ("EtcdNoLeader", "ApiDown|ApiErrors|ApiSlow", ()),
    ("EtcdSlow", "ApiSlow|EtcdLeaderChanges", ()),
    ("ApiDown", "ApiErrors", ("node",)),
    # An alert that is silenced itself still silences these.
    ("ApiDown", "RepairBlind", ()),
    ("GpuLost", "GpuApplicationFault|NvlinkErrors", ("node",)),
    (
        "GpuNeedsReset",
        "GpuApplicationFault|NvlinkErrors|GpuThrottled|GpuMemoryError|GpuRowsRemapped",
        ("node", "gpu"),
    ),
    ("GpuRowRemapFailed", "GpuNeedsReset|GpuMemoryError|GpuRowsRemapped", ("node", "gpu")),
    ("GpuMemoryError", "GpuRowsRemapped", ("node", "gpu")),
    ("GpuHot", "GpuThrottled", ("node", "gpu")),
    (
        "NoReadyReplica",
        "ReplicasMissing|EngineStalled|EngineRestarted|EngineRestarts|CanaryWorse",
        ("server",),
    ),
    ("NoReadyReplica", 'TargetsVanished{job=~"model-server|supervisor"}', ()),
    ("EngineRestarts|EngineStalled", "EngineRestarted", ("server",)),
    ("EnginesDieTogether", "EngineRestarted|EngineRestarts|NoReadyReplica", ("server",)),
    ("NoReadyReplica|NoGateway", "GatewayErrors|ErrorBudgetBurnsFast|ErrorBudgetBurnsSlowly", ()),
    ("ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", ("slo", "model_name")),
    # Where there are requests enough for a budget, it tells of the same errors, and sooner.
    ('ErrorBudgetBurnsFast{slo="availability"}', "GatewayErrors", ()),
    ("NoGateway", 'TargetsVanished{job="gateway"}', ()),
    ("LimiterAway", 'TargetsVanished{job="limits"}', ()),
    ("AlertsNotSent", 'TargetDown|TargetsVanished{job="alertmanager"}', ()),
    # Without samples there are no targets either.
    ("MeasurementsNotKept", "TargetsVanished", ()),
)


def config(monitoring: Monitoring) -> Manifest:
    """Alertmanager's configuration."""
    people = _receiver("webhook", monitoring.alert_webhook_url)
    watchdog = _receiver("watchdog", monitoring.watchdog_url, resolved=False)
    receivers = [people, watchdog]
    if NOWHERE in (people["name"], watchdog["name"]):
        receivers = [receiver for receiver in receivers if receiver["name"] != NOWHERE] + [{"name": NOWHERE}]
    return {
        "route": {
            "receiver": people["name"],
            "group_by": ["alertname", "node", "server"],
            "group_wait": f"{GROUP_WAIT_S}s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "receiver": watchdog["name"],
                    "matchers": [f'alertname = "{WATCHDOG}"'],
                    "repeat_interval": f"{WATCHDOG_MINUTES}m",
                }
            ],
        },
        "receivers": receivers,
        "inhibit_rules": [_inhibition(*inhibition) for inhibition in INHIBITIONS],
    }


def _receiver(name: str, url: str | None, resolved: bool = True) -> Manifest:
    if url is None:
        return {"name": NOWHERE}
    return {"name": name, "webhook_configs": [{"url": url, "send_resolved": resolved}]}


def _inhibition(cause: str, followers: str, equal: Sequence[str]) -> Manifest:
    return {"source_matchers": _matchers(cause), "target_matchers": _matchers(followers), "equal": list(equal)}


def _matchers(alerts: str) -> list[str]:
    names, _, labels = alerts.rstrip("}").partition("{")
    return [f'alertname =~ "{names}"', *filter(None, labels.split(","))]
