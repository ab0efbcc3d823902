"""The series that the number of replicas follows: all the work that there is, or no value at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen_stack import config
from qwen_stack.specs.alerts import alert_rules

from .planned_stacks import Values, with_entry
from .promtool import PROMTOOL, checked

Series = dict[str, float]
DEMAND = 'serving:demand:requests{server="model-server"}'
PRESSURE = 'serving:kv_pressure:replicas{server="model-server"}'
BLIND = 'ALERTS{alertname="AutoscalerBlind",alertstate="firing",server="model-server"}'
TARGET, MOST = 4, 3


@pytest.fixture
def rules(local: Values) -> str:
    bounds = {"target": TARGET, "max": MOST}
    values = with_entry(local, spareReplicas=0, acceptOutage=True, autoscaling=bounds)
    return alert_rules.rules_file(config.parse(values))


def gateway(name: str, running: float, waiting: float = 0, up: int = 1, ready: int = 1) -> Series:
    """A gateway that finds so many `ready` replicas."""
    labels = f'envoy_cluster_name="model-server",instance="{name}",job="gateway"'
    own = {"upstream_rq_active": running, "upstream_rq_pending_active": waiting, "membership_healthy": ready}
    counts = {f"envoy_cluster_{kind}{{{labels}}}": value for kind, value in own.items() if up}
    return {**counts, f'up{{instance="{name}",job="gateway"}}': up}


def replica(name: str, running: float, cache: float, up: int = 1) -> Series:
    labels = f'engine="0",instance="{name}",job="model-server",model_name="m",server="model-server"'
    own = {"num_requests_running": running, "num_requests_waiting": 0, "kv_cache_usage_perc": cache} if up else {}
    counts = {f"vllm:{kind}{{{labels}}}": value for kind, value in own.items()}
    ready = {f'qwen_runtime_state{{instance="{name}",server="model-server",state="ready"}}': 1}
    return {**counts, **ready, f'up{{instance="{name}",job="model-server",server="model-server"}}': up}


def evaluated(folder: Path, rules: str, series: Series, expected: dict[str, float | None], minutes: int = 2) -> None:
    """Hold that expressions have these values after some minutes; None where they have none."""
    (folder / "rules.yml").write_text(rules)
    samples = [
        {
            "expr": f"sum({text})",
            "eval_time": f"{minutes}m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for text, value in expected.items()
    ]
    inputs = [{"series": name, "values": f"{value}x{minutes}"} for name, value in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": samples}
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    checked("promtool", "test", "rules", folder / "test.yml")


@PROMTOOL
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (gateway("g", 3, 2) | gateway("h", 4) | replica("a", 5, 0.5) | replica("b", 2, 0.25), 9),
        (gateway("g", 3) | replica("a", 7, 0.5), 7),
        (gateway("g", 0) | replica("a", 0, 0), 0),
        (gateway("g", 3) | gateway("h", 4), 7),
        (gateway("g", 3) | gateway("h", 4, up=0) | replica("a", 5, 0.5), None),
        (replica("a", 5, 0.5), None),
    ],
    ids=["all", "a gateway that drains", "no work", "no engine", "a gateway is silent", "no gateway"],
)
def test_demand_is_all_that_is_in_flight_or_unknown(
    tmp_path: Path, rules: str, series: Series, expected: float | None
) -> None:
    evaluated(tmp_path, rules, series, {DEMAND: expected})


@PROMTOOL
def test_a_replica_that_is_silent_does_not_look_like_an_empty_cache(tmp_path: Path, rules: str) -> None:
    seen = gateway("g", 6, ready=2) | replica("a", 3, 0.5)
    evaluated(tmp_path, rules, seen | replica("b", 3, 0.75), {PRESSURE: 1.25})
    evaluated(tmp_path, rules, seen | replica("b", 3, 0.75, up=0), {PRESSURE: None, DEMAND: 6})


@PROMTOOL
def test_a_replica_that_starts_hides_no_cache_of_the_others(tmp_path: Path, rules: str) -> None:
    """Rank 0 of a group is listed while it verifies its weights and loads, and does not answer."""
    seen = gateway("g", 6, ready=2) | replica("a", 3, 0.5) | replica("b", 3, 0.75)
    evaluated(tmp_path, rules, seen | replica("c", 0, 0, up=0), {PRESSURE: 1.25, BLIND: None}, minutes=8)


@PROMTOOL
def test_the_gateway_that_sees_most_replicas_counts(tmp_path: Path, rules: str) -> None:
    seen = replica("a", 3, 0.5) | replica("b", 3, 0.75, up=0)
    evaluated(tmp_path, rules, gateway("g", 3, ready=1) | gateway("h", 3, ready=2) | seen, {PRESSURE: None})


@PROMTOOL
def test_nobody_is_called_blind_while_the_only_replica_starts(tmp_path: Path, rules: str) -> None:
    nobody = gateway("g", 2, ready=0)
    evaluated(tmp_path, rules, nobody | replica("a", 0, 0, up=0), {PRESSURE: None, BLIND: None}, minutes=8)
    evaluated(tmp_path, rules, nobody, {PRESSURE: None, BLIND: None}, minutes=8)


@PROMTOOL
@pytest.mark.parametrize(
    "series",
    [
        gateway("g", 1, up=0) | replica("a", 1, 0.1),
        gateway("g", 1) | replica("a", 1, 0.1, up=0),
        gateway("g", 1, ready=2) | replica("a", 1, 0.1) | replica("b", 1, 0.1, up=0),
        replica("a", 1, 0.1),
    ],
    ids=["a gateway is silent", "the only replica is silent", "one of two replicas is silent", "no gateway"],
)
def test_an_operator_hears_what_cannot_be_seen(tmp_path: Path, rules: str, series: Series) -> None:
    evaluated(tmp_path, rules, series, {BLIND: 1}, minutes=8)


@PROMTOOL
@pytest.mark.parametrize(
    ("alert", "minutes", "fires", "quiet"),
    [
        ("ReplicasExhausted", 12, gateway("g", TARGET * MOST + 1), gateway("g", TARGET * MOST)),
        ("ReplicasDoNotFollow", 24, gateway("g", 5) | replica("a", 5, 0.1), gateway("g", 4) | replica("a", 4, 0.1)),
    ],
)
def test_an_operator_hears_where_the_number_cannot_follow(
    tmp_path: Path, rules: str, alert: str, minutes: int, fires: Series, quiet: Series
) -> None:
    firing = f'ALERTS{{alertname="{alert}",alertstate="firing",server="model-server"}}'
    evaluated(tmp_path, rules, fires, {firing: 1}, minutes)
    evaluated(tmp_path, rules, quiet, {firing: None}, minutes)


def test_a_fixed_number_of_replicas_has_no_such_rules(settings: Any) -> None:
    assert "serving:demand" not in alert_rules.rules_file(settings)


def test_fewer_replicas_than_the_most_are_no_alarm(rules: str) -> None:
    groups = yaml.safe_load(rules)["groups"]
    planned = [
        rule["expr"]
        for group in groups
        for rule in group["rules"]
        if rule.get("record") == "serving:planned_replicas:replicas" and rule["labels"]["server"] == "model-server"
    ]
    assert planned == ["vector(1)"]
