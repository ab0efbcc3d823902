"""The gateway's part of the limits: it asks the limiter before it forwards, and tells it of every end."""

from __future__ import annotations

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway import envoy
from qwen_stack.specs.gateway.envoy import Part, error, typed
from qwen_stack.specs.gateway.routes import Route
from qwen_stack.specs.gateway.upstreams import UNBOUNDED, by_name

CLUSTER, ENDS = "limits", "limits-ends"
# Longest wait for the limiter's answer, which it gives after two seconds at the latest.
PATIENCE_S = 4
# Requests of one key in a minute that all gateways pass together while the limiter is away, if nothing else is known.
AWAY_PER_MINUTE = 60
# Ends of requests that each thread keeps for a limiter that is away, of about 400 bytes.
ENDS_KEPT = 32_768
ALONE = error(
    "The limits of keys are counted by each gateway alone for now, and the key's share of this minute is used up.",
    "requests",
    "rate_limit_exceeded",
)


def constants(gateway: Gateway, to: Route) -> dict[str, object]:
    """Values for limits.lua.j2."""
    return {
        "served": [upstream.served_as for upstream in to.upstreams],
        "shares": gateway.replicas * gateway.threads,
        "away_per_minute": AWAY_PER_MINUTE,
        "patience_ms": PATIENCE_S * 1000,
        "alone": ALONE,
    }


def clusters(gateway: Gateway, to: Route) -> list[Part]:
    """The limiter's two ports. Its health says each second which gateways live."""
    if gateway.limits is None:
        return []
    name = {"header": {"key": "x-gateway", "value": "%ENVIRONMENT(HOSTNAME)%"}}
    health = {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health", "host": CLUSTER, "request_headers_to_add": [name]},
    }
    return [
        {
            **_cluster(CLUSTER, to, to.limits_port),
            "health_checks": [health],
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        },
        _cluster(ENDS, to, to.ends_port),
    ]


def _cluster(name: str, to: Route, port: int) -> Part:
    return {
        "name": name,
        "cluster_type": by_name(to),
        "load_assignment": envoy.endpoints(name, to.limits_host, port),
        "connect_timeout": "0.5s",
        "ignore_health_on_host_removal": True,
        "circuit_breakers": {
            "thresholds": [{f"max_{held}": UNBOUNDED for held in ("connections", "pending_requests", "requests")}]
        },
    }


def logs(gateway: Gateway) -> list[Part]:
    """Log that the limiter reads: one record at the end of each request of which it was asked, however it ended."""
    if gateway.limits is None:
        return []
    log = typed(
        "envoy.access_loggers.fluentd",
        "extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig",
        cluster=ENDS,
        tag="ends",
        stat_prefix="ends",
        # Ends wait here while the limiter is away. Envoy counts eight bytes for each, whatever its size.
        buffer_size_bytes=8 * ENDS_KEPT,
        buffer_flush_interval="0.02s",
        record={
            "id": "%REQ(X-REQUEST-ID)%",
            "key": "%DYNAMIC_METADATA(gateway:client)%",
            "model": "%DYNAMIC_METADATA(gateway:served)%",
            "bytes": "%DYNAMIC_METADATA(gateway:bytes)%",
            "usage": "%DYNAMIC_METADATA(gateway:usage)%",
            "events": "%DYNAMIC_METADATA(gateway:events)%",
            "status": "%RESPONSE_CODE%",
            "limits": "%DYNAMIC_METADATA(gateway:limits)%",
        },
        retry_options={"backoff_options": {"base_interval": "0.5s", "max_interval": "2s"}},
    )
    asked_for = {
        "filter": "gateway",
        "path": [{"key": "limits"}],
        "value": {"present_match": True},
    }
    return [{**log, "filter": {"metadata_filter": {"matcher": asked_for, "match_if_key_not_found": False}}}]


def logged(gateway: Gateway) -> dict[str, str]:
    """Further fields of the gateway's log: whether the limiter was asked, and tokens (prompt, cached, generated)."""
    if gateway.limits is None:
        return {}
    return {"limits": "%DYNAMIC_METADATA(gateway:limits)%", "tokens": "%DYNAMIC_METADATA(gateway:usage)%"}
