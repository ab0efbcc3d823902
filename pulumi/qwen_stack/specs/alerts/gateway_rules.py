"""`serving:*` recording rules of the gateway, from Envoy's own metrics; one series for each gateway (`instance`)."""

from __future__ import annotations

from qwen_stack.specs.gateway import limits
from qwen_stack.specs.gateway.config import ADMIN, API
from qwen_stack.specs.gateway.weights import BETWEEN, SHARE
from qwen_stack.specs.manifest import Manifest

PREFIX, CLASS, CLUSTER = "envoy_http_conn_manager_prefix", "envoy_response_code_class", "envoy_cluster_name"
CLIENTS = f'{{{PREFIX}="{API}"}}'
# Every other cluster of Envoy is the replicas of one entry.
SERVERS = f'{{{CLUSTER}!~"{ADMIN}|{limits.CLUSTER}|{limits.ENDS}"}}'
# What Envoy reports where it holds no certificate.
NO_CERTIFICATE_DAYS = 4_294_967_295


def recording_rules() -> list[Manifest]:
    answers = f'label_replace(envoy_http_downstream_rq_xx{CLIENTS}, "class", "${{1}}xx", "{CLASS}", "(.*)")'
    series = {
        "gateway_answers:total": f"sum without ({PREFIX}, {CLASS}) ({answers})",
        # Answers that Envoy had to end after their first byte: the model server went away, or was silent for too long.
        "gateway_cut:total": f"sum without ({PREFIX}) (envoy_http_downstream_rq_tx_reset{CLIENTS})",
        "gateway_connections:connections": f"sum without ({PREFIX}) (envoy_http_downstream_cx_active{CLIENTS})",
        "gateway_memory_used:ratio": "envoy_overload_envoy_resource_monitors_fixed_heap_pressure / 100",
        "gateway_refuses_requests:bool": "envoy_overload_envoy_overload_actions_stop_accepting_requests_active",
        "gateway_server_answers:total": _answers_by_server(),
        "gateway_requests_running:requests": _by_server("envoy_cluster_upstream_rq_active"),
        "gateway_requests_waiting:requests": _by_server("envoy_cluster_upstream_rq_pending_active"),
        "gateway_retries:total": _by_server("envoy_cluster_upstream_rq_retry"),
        "gateway_healthy_servers:replicas": _by_server("envoy_cluster_membership_healthy"),
        "gateway_certificate_left:days": f"envoy_server_days_until_first_cert_expiring < {NO_CERTIFICATE_DAYS}",
    }
    return [{"record": f"serving:{name}", "expr": expression} for name, expression in series.items()]


def _by_server(metric: str) -> str:
    return f"sum without ({CLUSTER}) ({_of_server(metric)})"


def _answers_by_server() -> str:
    """Answers of each model server by class. One that the gateway repeats elsewhere counts at both."""
    answers = f'label_replace({_of_server("envoy_cluster_upstream_rq_xx")}, "class", "${{1}}xx", "{CLASS}", "(.*)")'
    return f"sum without ({CLUSTER}, {CLASS}) ({answers})"


def _of_server(metric: str) -> str:
    """Series of each model server, by the label `server` that its own targets have too."""
    return f'label_replace({metric}{SERVERS}, "server", "$1", "{CLUSTER}", "(?:{SHARE})?([^{BETWEEN}]*).*")'
