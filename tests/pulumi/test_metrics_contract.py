"""The contract `serving:*`: every rule yields a series from what the stack writes, and what it reads is there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import yaml
from qwen_runtime.engine import registry
from qwen_runtime.engine.buckets import edge_label

from qwen_stack import config
from qwen_stack.specs.alerts import alert_rules, slo_rules
from tests.support.waiting import wait_until

from . import exposition
from .promql import selectors

# Series that nobody writes while all is well, with the reason.
ABSENT_WHILE_WELL = {
    "serving:gateway_certificate_left:days": "the recorded gateway speaks plain HTTP",
    "serving:limiter_reached:bool": "the recorded gateway knows no limiter",
}
UNFOUND_WHILE_WELL = {
    **{f"{name}{{}}": reason for name, reason in ABSENT_WHILE_WELL.items()},
    'envoy_cluster_membership_healthy{envoy_cluster_name="limits"}': "the recorded gateway knows no limiter",
    'serving:repair_step:bool{step=~"drained|to-test|failed"}': "no host is under repair",
    "serving:host_filesystem_free:ratio{} offset 1h": "the recording is younger than an hour",
    "kubelet_evictions{}": "no pod was thrown out",
    'DCGM_FI_DEV_FB_USED{GPU_I_ID!=""}': "no GPU is divided",
    'http_requests_total{handler=~"/v1/.*",status="5xx"}': "vLLM writes each status from its first answer on",
}


def rules(settings: Any) -> list[dict[str, Any]]:
    groups = yaml.safe_load(alert_rules.rules_file(settings))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def finds_all_but(watched: exposition.Site, names: Collection[str], unfound: Collection[str]) -> None:
    """Waits, since a busy machine may miss a scrape, whose series are absent for that second."""

    def absent() -> set[str]:
        return {one for one in names if not watched.series(one)}

    wait_until(lambda: absent() == set(unfound), f"series of all but {set(unfound)} instead of {absent()}")


@exposition.PROMETHEUS
def test_every_recording_rule_yields_a_series(watched: exposition.Site, limited: Any) -> None:
    recorded = {rule["record"] for rule in rules(limited) if "record" in rule}
    assert len(recorded) > 70
    finds_all_but(watched, recorded, ABSENT_WHILE_WELL)


@exposition.PROMETHEUS
def test_every_selector_finds_a_series_with_its_labels(watched: exposition.Site, limited: Any) -> None:
    read = {str(selector) for rule in rules(limited) for selector in selectors(rule["expr"])}
    assert len(read) > 50
    finds_all_but(watched, read, UNFOUND_WHILE_WELL)


@exposition.PROMETHEUS
def test_every_rule_is_evaluated_without_an_error(watched: exposition.Site, limited: Any) -> None:
    evaluated = [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]
    assert len(evaluated) == len(rules(limited))
    assert not {rule["name"]: rule["lastError"] for rule in evaluated if rule["health"] != "ok"}


@exposition.PROMETHEUS
def test_nothing_but_the_watchdog_fires_while_all_is_well(watched: exposition.Site) -> None:
    def firing() -> set[str]:
        return {one["labels"]["alertname"] for one in watched.ask("alerts")["alerts"]}

    # The recording has one gateway and one replica of each model, where more are planned and the gateway knows two.
    planned = {"GatewaysMissing", "ReplicasMissing", "AutoscalerBlind"}
    # Its clock stands still.
    aged = {"ClockApart", "BackupOld", "CertificatesUnread"}
    # A busy machine may miss a scrape, and no rule of this Prometheus waits.
    expected = {"Watchdog"} | planned | aged
    wait_until(lambda: firing() == expected, f"only {expected} instead of {firing()}", exposition.PATIENCE_S)


def test_both_engines_write_the_bounds_that_objectives_may_name() -> None:
    for engine, exported in registry.exported().items():
        text = exposition.recorded(engine)
        for histogram, edges in exported.edges.items():
            name = exported.names[histogram]
            written = [
                line.split('le="')[1].split('"')[0] for line in text.splitlines() if line.startswith(f"{name}_bucket")
            ]
            assert written == [*(edge_label(edge) for edge in edges), "+Inf"], (engine, histogram)


def test_alerts_read_only_the_contract_and_what_watches_itself(settings: Any) -> None:
    allowed = ("serving:", "up", "prometheus_", "alertmanager_")
    for alert in alert_rules.alerts(settings):
        for selector in selectors(alert.expression):
            assert str(selector.name).startswith(allowed), alert.name


def seconds(window: str) -> int:
    return int(window[:-1]) * {"m": 60, "h": 3600, "d": 86400}[window[-1]]


def test_every_fast_burn_can_be_reached_and_its_windows_nest(settings: Any) -> None:
    objectives = settings.monitoring.objectives
    for level in slo_rules.levels(objectives):
        assert (1 - level.objective) * max(burn.factor for burn in slo_rules.FAST) < 1, level.name
    for burn in (*slo_rules.FAST, *slo_rules.SLOW):
        assert {burn.long, burn.short} <= set(slo_rules.WINDOWS)
        assert seconds(burn.short) * 12 == seconds(burn.long)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("firstTokenSeconds", 3, "one of 0.001, .*2.5, 5, "),
        ("interTokenSeconds", 0.12, "which the histogram of engine vllm has no bound at"),
        ("availability", 0.9, "greater than or equal to 0.94"),
        ("availability", 1, "less than 1"),
    ],
)
def test_an_objective_that_cannot_be_counted_is_refused(
    local: dict[str, Any], key: str, value: float, message: str
) -> None:
    monitoring = {**local["monitoring"], "objectives": {key: value}}
    with pytest.raises(config.ConfigError, match=f"(?s)monitoring.objectives.{key}.*{message}"):
        config.parse({**local, "monitoring": monitoring})


@pytest.mark.parametrize("retention", ["1d", "72h", "500m"])
def test_a_retention_shorter_than_the_burn_windows_is_refused(local: dict[str, Any], retention: str) -> None:
    with pytest.raises(config.ConfigError, match=r"monitoring\.retention"):
        config.parse({**local, "monitoring": {**local["monitoring"], "retention": retention}})
