"""Prometheus' rules: `serving:*` recording rules, which are the contract, and the alerts, which read only those."""

from __future__ import annotations

import yaml

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.alerts import (
    cluster_alerts,
    cluster_rules,
    engine_rules,
    evaluation_alerts,
    gateway_alerts,
    gateway_rules,
    gpu_alerts,
    gpu_rules,
    host_alerts,
    host_rules,
    key_rules,
    limits_alerts,
    monitoring_alerts,
    planned_rules,
    repair_alerts,
    scaling_rules,
    serving_alerts,
    slo_rules,
    upkeep_alerts,
    variant_alerts,
)
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.monitoring.scrape_jobs import REPLICATED, jobs


def recording_groups(settings: Settings) -> list[Manifest]:
    objectives = settings.monitoring.objectives
    return [
        {"name": "planned", "rules": planned_rules.recording_rules(settings)},
        {"name": "gpus", "rules": gpu_rules.recording_rules()},
        *_of_hosts(settings.monitoring),
        {"name": "engines", "rules": engine_rules.recording_rules()},
        {"name": "gateway", "rules": gateway_rules.recording_rules()},
        *(_of_limits() if settings.gateway.limits else []),
        *([{"name": "evaluation", "rules": evaluation_alerts.recording_rules()}] if settings.evaluation else []),
        *([{"name": "repair", "rules": repair_alerts.recording_rules()}] if settings.repair else []),
        # Rules of a group run one after the other: these read what the groups before have written.
        {"name": "scaling", "rules": scaling_rules.recording_rules(settings)},
        {"name": "service-levels", "rules": slo_rules.recording_rules(objectives)},
    ]


def _of_hosts(monitoring: Monitoring) -> list[Manifest]:
    rules = [*host_rules.recording_rules(), *cluster_rules.recording_rules(monitoring)]
    return [{"name": "hosts", "rules": rules}] if monitoring.hosts else []


def _of_limits() -> list[Manifest]:
    rules = [*limits_alerts.recording_rules(), *key_rules.recording_rules()]
    return [{"name": "limits", "rules": rules}]


def alerts(settings: Settings) -> list[Alert]:
    return [
        *gpu_alerts.alerts(settings.monitoring),
        *(host_alerts.alerts() if settings.monitoring.hosts else []),
        *cluster_alerts.alerts(settings.monitoring),
        *upkeep_alerts.alerts(settings.monitoring),
        *serving_alerts.alerts(settings),
        *gateway_alerts.alerts(),
        *variant_alerts.alerts(settings.monitoring.objectives),
        *(limits_alerts.alerts() if settings.gateway.limits else []),
        *(evaluation_alerts.alerts() if settings.evaluation else []),
        *(repair_alerts.alerts() if settings.repair else []),
        *scaling_rules.alerts(settings),
        *monitoring_alerts.alerts(jobs(settings), REPLICATED, settings.monitoring.scrape_seconds),
        *([monitoring_alerts.series_not_sent()] if settings.monitoring.remote_write_url else []),
    ]


def rules_file(settings: Settings) -> str:
    rules = [alert.rule() for alert in alerts(settings)]
    everything = [*recording_groups(settings), {"name": "alerts", "rules": rules}]
    return yaml.safe_dump({"groups": everything}, sort_keys=False, width=120)
