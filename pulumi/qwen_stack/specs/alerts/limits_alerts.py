"""Rule and alert about the limiter, as the gateways see it."""

from __future__ import annotations

from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.gateway.limits import CLUSTER
from qwen_stack.specs.manifest import Manifest


def recording_rules() -> list[Manifest]:
    healthy = f'envoy_cluster_membership_healthy{{envoy_cluster_name="{CLUSTER}"}}'
    return [{"record": "serving:limiter_reached:bool", "expr": f"sum without (envoy_cluster_name) ({healthy})"}]


def alerts() -> list[Alert]:
    return [
        Alert(
            name="LimiterAway",
            expression="serving:limiter_reached:bool < 1",
            holds="1m",
            severity="warning",
            owner="serving",
            summary="Gateway {{ $labels.instance }} does not reach the limiter",
            impact="Requests per minute are limited by shares, nothing else is, and nobody waits in turn.",
            found="no healthy limiter for a minute",
            needed="one",
            remedy="Look whether its pod runs, and whether policies of the network let the gateways reach it.",
            look="`kubectl -n <namespace> describe pods -l app.kubernetes.io/name=limits`; the gateways' log, "
            '`"limits":"away"`',
        )
    ]
