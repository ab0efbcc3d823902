"""The model servers as the gateway reaches them: who they are, which of them are asked, and what rests."""

from __future__ import annotations

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway import affinity, envoy, variants
from qwen_stack.specs.gateway.envoy import Part, typed
from qwen_stack.specs.gateway.routes import Route, Upstream

# No limit: what a gateway may hold is bounded by its connections.
UNBOUNDED = 1_000_000
# Envoy's factor on the share of replicas that are ready, up to which a cluster counts as whole.
ONE_IS_ENOUGH_PERCENT = 10_000
# Of all requests in flight, this share may be repetitions; a replica of two that dies has half of all requests.
RETRY_SHARE_PERCENT = 50
# Repetitions in flight that are allowed however few requests there are.
RETRIES_AT_LEAST = 16


def buffer_bytes(gateway: Gateway) -> int:
    """Bytes of a request that Envoy keeps to repeat it: the largest accepted body, its headers, and a read more."""
    return gateway.max_body_bytes + 65_536


def cluster(gateway: Gateway, to: Route, upstream: Upstream) -> Part:
    """The replicas of one entry. Their name lists the ready ones; the checks find a failure before the name does.

    While DNS does not answer, the replicas that were known stay.
    """
    port = {"health_check_config": {"port_value": to.health_port}}
    assignment = envoy.endpoints(upstream.server, upstream.host, to.upstream_port, **port)
    assignment["endpoints"][0]["lb_endpoints"][0].update(variants.metadata(upstream))
    return {
        "name": upstream.server,
        "cluster_type": by_name(to),
        # Another entry of the same name gets requests only when no replica of this one is ready.
        "load_assignment": {**assignment, "policy": {"overprovisioning_factor": ONE_IS_ENOUGH_PERCENT}},
        "connect_timeout": f"{gateway.timeouts.connect_seconds}s",
        **affinity.balancing(gateway.affinity),
        # A replica that is not ready gets nothing, even if none is; a change is known to all threads at once.
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 0},
            "update_merge_window": "0s",
            **affinity.bound(gateway.affinity),
        },
        "ignore_health_on_host_removal": True,
        "health_checks": [_readiness()],
        "outlier_detection": _ejection(),
        "circuit_breakers": {"thresholds": [budget()]},
        # A replica whose host vanished sends no reset: keep-alive probes end its streams after 25 s.
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_time": 10, "keepalive_interval": 5, "keepalive_probes": 3}
        },
        "per_connection_buffer_limit_bytes": buffer_bytes(gateway),
        "typed_extension_protocol_options": _http_upstream(),
    }


def by_name(to: Route) -> Part:
    """Kind of a cluster whose addresses are those of a name, asked for again each second."""
    return typed(
        "envoy.cluster.dns",
        "extensions.clusters.dns.v3.DnsCluster",
        dns_refresh_rate="1s",
        dns_failure_refresh_rate={"base_interval": "1s", "max_interval": "2s"},
        dns_lookup_family="V4_ONLY",
        typed_dns_resolver_config=_resolver(to),
    )


def _resolver(to: Route) -> Part:
    """Resolver for names that are whole: the pod's search list would ask for each of them four times."""
    servers = {"resolvers": [envoy.address(*to.dns)]} if to.dns else {}
    return typed(
        "envoy.network.dns_resolver.cares",
        "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        dns_resolver_options={"no_default_search_domain": True},
        query_timeout_seconds=1,
        query_tries=2,
        **servers,
    )


def _readiness() -> Part:
    return {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health/ready", "host": "gateway"},
    }


def _ejection() -> Part:
    """Rest of 5 s for a replica after three requests in a row without an answer, growing to 30 s while that goes on.

    A 4xx is the client's fault and never counts; nor does a 500, which may be. An entry's only replica never rests.
    """
    return {
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        # Its health says that all is well, or it would not be asked at all.
        "successful_active_health_check_uneject_host": False,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "30s",
        "max_ejection_percent": 50,
    }


def budget() -> Part:
    """Threshold of a cluster that bounds its repetitions and nothing else."""
    return {
        "max_connections": UNBOUNDED,
        "max_pending_requests": UNBOUNDED,
        "max_requests": UNBOUNDED,
        "retry_budget": {"budget_percent": {"value": RETRY_SHARE_PERCENT}, "min_retry_concurrency": RETRIES_AT_LEAST},
    }


def _http_upstream() -> Part:
    """HTTP/1.1 to the replicas; connections end before an engine would end them, after 5 idle seconds."""
    kind = "extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "4s"},
    }
    return {f"envoy.{kind}": {"@type": envoy.TYPES + kind, **options}}
