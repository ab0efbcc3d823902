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
# Cause, which may be named with labels of its own, what follows from it, and the labels that both must share.
INHIBITIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # Which host a replica ran on is not known here: while a host is away, missing replicas are no news.
    ("HostVanished", ("ReplicasMissing", "TargetDown", "EngineRestarted"), ()),
    ("HostDown", ("ReplicasMissing", "TargetDown", "EngineRestarted"), ()),
    (
        "HostDown",
        ("KubeletDown", "ApiDown", "EtcdDown", "EtcdLeaderChanges", "BackupOld", "CertificatesUnread"),
        ("node",),
    ),
    ("CertificateEnds", ("CertificateExpires",), ("node", "file")),
    ("KubeletDown", ("TargetDown",), ("node",)),
    ("ApiDown", ("TargetDown", "ApiErrors"), ("node",)),
    ("EtcdDown", ("TargetDown", "ApiDown", "ApiErrors"), ("node",)),
    ("EtcdNoLeader", ("ApiErrors", "ApiSlow"), ()),
    ("HostDown", ("HostVanished", "GpuLost", "GpuThrottled", "GpuHot"), ("node",)),
    ("HostVanished", ("GpuLost", "GpuThrottled", "GpuHot"), ("node",)),
    ("DiskFull", ("DiskFills",), ("node", "mountpoint")),
    ("GpuLost", ("GpuApplicationFault", "NvlinkErrors"), ("node",)),
    ("GpuNeedsReset", ("GpuApplicationFault", "NvlinkErrors", "GpuThrottled", "GpuMemoryError"), ("node", "gpu")),
    ("NoReadyReplica", ("ReplicasMissing", "EngineStalled", "EngineRestarted", "CanaryWorse"), ("server",)),
    ("NoReadyReplica", ("GatewayErrors", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"), ()),
    ("EngineRestarts", ("EngineRestarted",), ("server",)),
    ("EnginesDieTogether", ("EngineRestarted", "EngineRestarts"), ("server",)),
    ("ErrorBudgetBurnsFast", ("ErrorBudgetBurnsSlowly",), ("slo", "model_name")),
    ('TargetsVanished{job="gateway"}', ("GatewaysMissing",), ()),
    # Without samples there are no targets either.
    ("MeasurementsNotKept", ("TargetsVanished",), ()),
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


def _inhibition(cause: str, targets: Sequence[str], equal: Sequence[str]) -> Manifest:
    name, _, labels = cause.rstrip("}").partition("{")
    return {
        "source_matchers": [f'alertname = "{name}"', *filter(None, labels.split(","))],
        "target_matchers": [f'alertname =~ "{"|".join(targets)}"'],
        "equal": list(equal),
    }
