"""Series with which each alert of the gateway fires, and series that look alike with which it must not."""

from __future__ import annotations

from .alert_cases import FIRST_TOKEN, LONG, STILL, Case, Series, answers, cut, gateway, up

API = ',envoy_http_conn_manager_prefix="api"'


def entry(server: str, good: str, bad: str) -> Series:
    """Answers of an entry whose name others share."""
    counted = f'{{envoy_cluster_name="{server}",envoy_response_code_class="%s",instance="g"}}'
    return {
        f'serving:planned_replicas:replicas{{model_name="m",server="{server}"}}': STILL,
        f"envoy_cluster_upstream_rq_xx{counted % 2}": f"{good}x{LONG}",
        f"envoy_cluster_upstream_rq_xx{counted % 5}": f"{bad}x{LONG}",
    }


def first_tokens(server: str, soon: int) -> Series:
    """First tokens of an entry, a hundred a minute."""
    labels = f'engine="0",instance="{server}",job="model-server",model_name="m",server="{server}"'
    return {
        f'serving:planned_replicas:replicas{{model_name="m",server="{server}"}}': STILL,
        f'vllm:{FIRST_TOKEN}_bucket{{{labels},le="10.0"}}': f"0+{soon}x{LONG}",
        f"vllm:{FIRST_TOKEN}_count{{{labels}}}": f"0+100x{LONG}",
    }


GATEWAY = (
    Case(
        "GatewayErrors",
        12,
        (
            answers(s2=f"0+90x{LONG}", s5=f"0+10x{LONG}"),
            answers(s2=f"0+100x{LONG}", s5=f"0x{LONG}") | cut(f"0+10x{LONG}"),
        ),
        (answers(s2=f"0+99x{LONG}", s5=f"0+1x{LONG}"), answers(s2=STILL, s5=f"0x10 2x{LONG}")),
    ),
    Case(
        "GatewayFull",
        5,
        (
            gateway("http_downstream_cx_active", "240", API),
            gateway("overload_envoy_resource_monitors_fixed_heap_pressure", "90"),
            gateway("overload_envoy_overload_actions_stop_accepting_requests_active", "1"),
        ),
        (
            gateway("http_downstream_cx_active", "200", API),
            gateway("overload_envoy_resource_monitors_fixed_heap_pressure", "70"),
            gateway("http_downstream_cx_active", "999", ',envoy_http_conn_manager_prefix="operations"'),
        ),
    ),
    Case(
        "CanaryWorse",
        30,
        (
            entry("a", "0+10", "0+1") | entry("b", "0+100", "0"),
            # Nothing but errors since it began.
            {key: value for key, value in entry("a", "0", "0+10").items() if '"2"' not in key}
            | entry("b", "0+100", "0+1"),
            first_tokens("a", 80) | first_tokens("b", 98),
        ),
        (
            # The site is at fault, and not one entry.
            entry("a", "0+10", "0+1") | entry("b", "0+10", "0+1"),
            # Too few to say.
            entry("a", "0+1", "0+0.2") | entry("b", "0+100", "0"),
            entry("a", "0+10", "0+1"),
            first_tokens("a", 93) | first_tokens("b", 98),
        ),
    ),
    Case("NoGateway", 5, (up("gateway", 0, 0), {}), (up("gateway", 1, 0),)),
    Case("GatewaysMissing", 10, (up("gateway", 1), up("gateway", 1, 0)), (up("gateway", 1, 1), up("gateway", 0, 0))),
    Case(
        "GatewayCertificateExpires",
        20,
        (gateway("server_days_until_first_cert_expiring", "5"),),
        (
            gateway("server_days_until_first_cert_expiring", "80"),
            gateway("server_days_until_first_cert_expiring", "4294967295"),
        ),
    ),
)
