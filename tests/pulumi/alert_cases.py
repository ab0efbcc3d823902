"""Series with which each alert fires, and series that look alike with which it must not.

Values are promtool's: `a+bxn` begins at a and grows by b in each minute, n times. Names are those that the parts of the
stack write, so that recording rules are evaluated too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from qwen_stack.specs.alerts import alert_rules

from .promtool import checked

Series: TypeAlias = dict[str, str]
LONG = 160


@dataclass(frozen=True)
class Case:
    alert: str
    minutes: int
    fires: tuple[Series, ...]
    quiet: tuple[Series, ...]
    labels: str = ""
    """Further labels of the alert, as PromQL writes them: other series of a case may make it fire too."""


def rules_of(settings: Any, alert: str) -> str:
    """Rules file with this alert and the recording rules that it reads: all the others cost ten times as much."""
    groups = yaml.safe_load(alert_rules.rules_file(settings))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    kept = [rule for rule in rules if rule.get("alert") == alert]
    for rule in kept:  # and those that are added on the way
        names = set(re.findall(r"[\w:]+", rule["expr"]))
        kept += [other for other in rules if other.get("record") in names and other not in kept]
    pruned = [{**group, "rules": [rule for rule in group["rules"] if rule in kept]} for group in groups]
    return yaml.safe_dump({"groups": [group for group in pruned if group["rules"]]}, sort_keys=False)


def ran(folder: Path, rules: str, tests: list[dict[str, Any]]) -> None:
    (folder / "rules.yml").write_text(rules)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "test.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    checked("promtool", "test", "rules", folder / "test.yml")


def counted(case: Case, series: dict[str, str], fires: bool) -> dict[str, Any]:
    """Test of promtool: a series of ALERTS counts 1 where the alert fires, and is not there where it does not."""
    selected = f'alertname="{case.alert}",alertstate="firing"' + (f",{case.labels}" if case.labels else "")
    samples = [{"labels": "{}", "value": 1}] if fires else []
    count = f"count(ALERTS{{{selected}}}) > bool 0"
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": count, "eval_time": f"{case.minutes}m", "exp_samples": samples}],
    }


def gpu(field: str, values: str, count: int = 1) -> Series:
    return {f'DCGM_FI_DEV_{field}{{gpu="{index}",node="gpu1"}}': values for index in range(count)}


def engine(name: str, values: str, labels: str = "") -> Series:
    return {f'vllm:{name}{{engine="0",instance="a",job="model-server",model_name="m",server="s"{labels}}}': values}


def state(server: str, instance: str, ready: int) -> Series:
    return {f'qwen_runtime_state{{instance="{instance}",server="{server}",state="ready"}}': f"{ready}x{LONG}"}


def started(instance: str, values: str) -> Series:
    return {f'qwen_runtime_started_at_seconds{{instance="{instance}",server="s"}}': values}


def answers(**values: str) -> Series:
    """Counters of answers by class: s2, s4, s5. None of them is cut."""
    labels = 'envoy_http_conn_manager_prefix="api",instance="g"'
    answered = {
        f'envoy_http_downstream_rq_xx{{envoy_response_code_class="{name[1]}",{labels}}}': value
        for name, value in values.items()
    }
    return {**cut(f"0x{LONG}"), **answered}


def cut(values: str) -> Series:
    """Counter of answers that the gateway had to end."""
    return {'envoy_http_downstream_rq_tx_reset{envoy_http_conn_manager_prefix="api",instance="g"}': values}


def gateway(name: str, value: str, labels: str = "") -> Series:
    return {f'envoy_{name}{{instance="g",job="gateway"{labels}}}': f"{value}x{LONG}"}


def up(job: str, *values: int) -> Series:
    return {f'up{{instance="{index}",job="{job}"}}': f"{value}x{LONG}" for index, value in enumerate(values)}


def on_node(job: str, value: int) -> Series:
    return {f'up{{instance="{job}",job="{job}",node="n"}}': f"{value}x{LONG}"}


def up_until(minute: int) -> Series:
    """A target of which nothing is kept after this minute."""
    return {'up{instance="p",job="prometheus"}': f"1x{minute} _x{LONG}"}


def own(name: str, values: str) -> Series:
    return {f'{name}{{instance="p",job="prometheus"}}': values}


def waiting(values: str) -> Series:
    return engine("num_requests_waiting", values)


def prompts(instance: str, each_minute: int, cached: int) -> Series:
    """Counters of a replica's prompt tokens."""
    labels = f'engine="0",instance="{instance}",job="model-server",model_name="m",server="s"'
    values = {"prompt_tokens": each_minute, "prompt_tokens_cached": cached}
    return {f"vllm:{name}_total{{{labels}}}": f"0+{tokens}x{LONG}" for name, tokens in values.items()}


ALL_UP = up("gateway", 1) | up("model-server", 1) | up("supervisor", 1) | up("dcgm-exporter", 1)
ALL_UP |= up("node-exporter", 1) | up("kubelet", 1) | up("containers", 1) | up("kube-apiserver", 1) | up("etcd", 1)
ALL_UP |= up("prometheus", 1) | up("alertmanager", 1)
STILL = f"1x{LONG}"
FIRST_TOKEN = "time_to_first_token_seconds"

SERVING = (
    Case(
        "NoReadyReplica",
        5,
        (state("model-server", "a", 0), {}),
        (state("model-server", "a", 0) | state("model-server", "b", 1),),
        'server="model-server"',
    ),
    Case(
        "ReplicasMissing",
        20,
        (state("model-server", "a", 1) | state("model-server", "b", 0),),
        (state("model-server", "a", 1) | state("model-server", "b", 1),),
        'server="model-server"',
    ),
    Case(
        "EngineStalled",
        8,
        (engine("num_requests_running", "2x20") | engine("iteration_tokens_total_sum", "500x20"),),
        (
            engine("num_requests_running", "2x20") | engine("iteration_tokens_total_sum", "500+9x20"),
            engine("num_requests_running", "0x20") | engine("iteration_tokens_total_sum", "500x20"),
        ),
    ),
    Case("EngineRestarted", 10, (started("a", "100x5 400x10"),), (started("a", "100x20"),)),
    Case(
        "EngineRestarts",
        14,
        (started("a", "100x2 200x2 300x2 400x9"),),
        (started("a", "100x2 200x2 300x12"),),
    ),
    Case(
        "EnginesDieTogether",
        8,
        (started("a", "100x5 400x10") | started("b", "100x6 460x9"),),
        (started("a", "100x2 200x2 400x10") | started("b", "100x20"),),
    ),
    Case(
        "KvCacheFull",
        12,
        (engine("kv_cache_usage_perc", "0.99x30") | waiting("2x30"),),
        (
            engine("kv_cache_usage_perc", "0.99x30") | waiting("0x30"),
            engine("kv_cache_usage_perc", "0.9x30") | waiting("2x30"),
        ),
    ),
    Case(
        "Preemptions",
        20,
        (
            engine("num_preemptions_total", "0+1x30")
            | engine("request_success_total", "0+5x30", ',finished_reason="stop"'),
        ),
        (
            engine("num_preemptions_total", "0+1x30")
            | engine("request_success_total", "0+90x30", ',finished_reason="stop"'),
            engine("num_preemptions_total", "0+1x30")
            | engine("request_success_total", "0x10 1x30", ',finished_reason="stop"'),
        ),
    ),
    Case(
        "PrefixCacheMissed",
        60,
        (prompts("a", 1000, 900) | prompts("b", 1000, 400),),
        (
            prompts("a", 1000, 900) | prompts("b", 1000, 500),
            prompts("a", 1000, 900) | prompts("b", 300, 0),
            prompts("a", 1000, 100) | prompts("b", 1000, 0),
        ),
    ),
    Case("QueueGrows", 25, (waiting("1+1x40"),), (waiting("9x40"), waiting("40-1x40"), waiting("0x20 5x20"))),
    Case(
        "ErrorBudgetBurnsFast",
        75,
        (
            answers(s2=f"0+95x{LONG}", s5=f"0+5x{LONG}"),
            engine(f"{FIRST_TOKEN}_bucket", f"0+50x{LONG}", ',le="10.0"')
            | engine(f"{FIRST_TOKEN}_count", f"0+100x{LONG}"),
            # Answers that all began well.
            answers(s2=f"0+100x{LONG}", s5=f"0x{LONG}") | cut(f"0+5x{LONG}"),
        ),
        (
            answers(s2=f"0+999x{LONG}", s5=f"0+1x{LONG}"),
            # Faults of clients alone.
            answers(s2=f"0+50x{LONG}", s4=f"0+50x{LONG}", s5=f"0x{LONG}"),
            # One slow request in a quiet hour.
            engine(f"{FIRST_TOKEN}_bucket", f"3x{LONG}", ',le="10.0"')
            | engine(f"{FIRST_TOKEN}_count", f"3x70 4x{LONG}"),
        ),
    ),
    Case(
        "ErrorBudgetBurnsSlowly",
        100,
        (answers(s2=f"0+199x{LONG}", s5=f"0+1x{LONG}"),),
        (answers(s2=f"0+1999x{LONG}", s5=f"0+1x{LONG}"),),
    ),
)
MONITORING = (
    Case(
        "TargetDown",
        10,
        (up("dcgm-exporter", 0, 1), on_node("containers", 0) | on_node("kubelet", 1)),
        (
            up("dcgm-exporter", 1),
            up("model-server", 0),
            # These have alerts of their own, and a kubelet answers for its containers.
            on_node("node-exporter", 0) | on_node("kube-apiserver", 0) | on_node("etcd", 0),
            on_node("containers", 0) | on_node("kubelet", 0),
        ),
    ),
    Case("TargetsVanished", 10, ({}, up("gateway", 1)), (ALL_UP,), 'job="dcgm-exporter"'),
    Case(
        "MeasurementsMissing",
        15,
        (up("dcgm-exporter", 1), up("etcd", 1)),
        (
            up("etcd", 1) | {'etcd_server_has_leader{instance="0",job="etcd"}': STILL},
            # Who does not answer is told by another alert.
            up("etcd", 0),
        ),
    ),
    Case(
        "ScrapesRefused",
        10,
        (own("prometheus_target_scrapes_exceeded_sample_limit_total", "0+1x20"),),
        (own("prometheus_target_scrapes_exceeded_sample_limit_total", "9x20"),),
    ),
    Case(
        "RulesFail",
        12,
        (own("prometheus_rule_evaluation_failures_total", "0+1x20"),),
        (own("prometheus_rule_evaluation_failures_total", "5x20"),),
    ),
    Case(
        "StorageFails",
        10,
        (
            own("prometheus_tsdb_compactions_failed_total", "0x5 1x9"),
            own("prometheus_tsdb_wal_writes_failed_total", "0x5 1x9"),
        ),
        (own("prometheus_tsdb_compactions_failed_total", "1x20"),),
    ),
    Case("MeasurementsNotKept", 12, ({}, up_until(6)), (up("prometheus", 0), up_until(10) | up("gateway", 1))),
    Case(
        "AlertsNotSent",
        12,
        (
            own("prometheus_notifications_alertmanagers_discovered", "0x20"),
            own("prometheus_notifications_errors_total", "0+1x20"),
            own("prometheus_notifications_dropped_total", "0+1x20"),
        ),
        (own("prometheus_notifications_alertmanagers_discovered", "1x20"),),
    ),
    Case(
        "NotificationsFail",
        12,
        ({'alertmanager_notifications_failed_total{instance="m",integration="webhook"}': "0+1x20"},),
        ({'alertmanager_notifications_failed_total{instance="m",integration="webhook"}': "3x20"},),
    ),
    Case(
        "RepairBlind",
        10,
        (
            {'qwen_repair_last_pass_timestamp_seconds{instance="r"}': "60x20"},
            {'qwen_repair_last_pass_timestamp_seconds{instance="r"}': "0x20"},
        ),
        (
            {'qwen_repair_last_pass_timestamp_seconds{instance="r"}': "0+60x20"},
            # The pod was replaced: the old one's series is still there for a while.
            {
                'qwen_repair_last_pass_timestamp_seconds{instance="old"}': "60x20",
                'qwen_repair_last_pass_timestamp_seconds{instance="new"}': "0+60x20",
            },
        ),
    ),
    Case(
        "RepairWaits",
        10,
        (
            {'qwen_repair_step{node="gpu1",step="drained"}': "1x20"},
            {'qwen_repair_step{node="g",step="failed"}': "1x20"},
        ),
        (
            {'qwen_repair_step{node="gpu1",step="testing"}': "1x20"},
            {'qwen_repair_step{node="g",step="drained"}': "1x3"},
        ),
    ),
    Case("Watchdog", 1, ({},), ()),
)
CASES = (*SERVING, *MONITORING)
