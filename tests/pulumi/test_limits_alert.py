"""The alert about a limiter that gateways do not reach, and what else counts the gateway's clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwen_stack.settings.stack import GatewayLimits
from qwen_stack.specs.alerts import alert_rules

from .alert_cases import Case, counted, gateway, ran, rules_of
from .promtool import PROMTOOL

AWAY = Case(
    "LimiterAway",
    10,
    (
        gateway("cluster_membership_healthy", "0", ',envoy_cluster_name="limits"'),
        {'envoy_cluster_membership_healthy{instance="g",envoy_cluster_name="limits"}': "1x3 0x20"},
    ),
    (
        gateway("cluster_membership_healthy", "1", ',envoy_cluster_name="limits"'),
        gateway("cluster_membership_healthy", "0", ',envoy_cluster_name="model-server"'),
    ),
)


@pytest.fixture
def limited(settings: Any) -> Any:
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"limits": GatewayLimits()})})


@PROMTOOL
def test_a_gateway_that_does_not_reach_the_limiter_says_so(tmp_path: Path, limited: Any) -> None:
    tests = [counted(AWAY, series, True) for series in AWAY.fires]
    ran(tmp_path, rules_of(limited, AWAY.alert), tests + [counted(AWAY, series, False) for series in AWAY.quiet])


@PROMTOOL
def test_the_limiter_is_no_model_server(tmp_path: Path, limited: Any) -> None:
    series = gateway("cluster_membership_healthy", "1", ',envoy_cluster_name="limits"')
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": "count(serving:gateway_healthy_servers:replicas)", "eval_time": "5m", "exp_samples": []}
        ],
    }
    ran(tmp_path, alert_rules.rules_file(limited), [test])


def test_a_stack_without_limits_has_no_alert_about_them(settings: Any, limited: Any) -> None:
    more = {one.name for one in alert_rules.alerts(limited)} - {one.name for one in alert_rules.alerts(settings)}
    assert more == {"LimiterAway"}
