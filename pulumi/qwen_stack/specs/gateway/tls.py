"""The gateway's certificate and its clients': files that name them, the socket that uses them, and whether it can."""

from __future__ import annotations

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway import envoy
from qwen_stack.specs.gateway.envoy import TYPES, Part, http_filter, manager, router, typed
from qwen_stack.specs.gateway.routes import Route

CERTIFICATE_FILE, CLIENT_CA_FILE = "certificate.json", "client-ca.json"
CERTIFICATE, CLIENT_CA, CHECK = "certificate", "client-ca", "tls-check"
SECRET = f"{TYPES}extensions.transport_sockets.tls.v3.Secret"
READY = "/readyz"


def files(gateway: Gateway, to: Route) -> dict[str, Part]:
    """Files by which Envoy finds the mounted Secrets. What they hold is taken anew for new connections; those that
    stand keep theirs."""
    # The kubelet replaces all files of a Secret at once, by moving a link.
    pair = {
        "certificate_chain": {"filename": f"{to.tls_dir}/tls.crt"},
        "private_key": {"filename": f"{to.tls_dir}/tls.key"},
        "watched_directory": {"path": to.tls_dir},
    }
    authority = {
        "trusted_ca": {"filename": f"{to.client_ca_dir}/ca.crt"},
        "watched_directory": {"path": to.client_ca_dir},
    }
    named = {
        **({CERTIFICATE_FILE: {"name": CERTIFICATE, "tls_certificate": pair}} if gateway.tls_secret else {}),
        **({CLIENT_CA_FILE: {"name": CLIENT_CA, "validation_context": authority}} if gateway.client_ca_secret else {}),
    }
    return {file: {"resources": [{"@type": SECRET, **secret}]} for file, secret in named.items()}


def socket(gateway: Gateway, to: Route, demand: bool = True) -> Part:
    """Socket that speaks TLS. HTTP/1.1 alone is offered, as without TLS.

    `demand` is whether a client without a certificate is refused where the gateway has an authority for them.
    """
    clients = {"validation_context_sds_secret_config": _source(to, CLIENT_CA, CLIENT_CA_FILE)}
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=bool(gateway.client_ca_secret) and demand,
        common_tls_context={
            "alpn_protocols": ["http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [_source(to, CERTIFICATE, CERTIFICATE_FILE)],
            **(clients if gateway.client_ca_secret else {}),
        },
    )


def listeners(gateway: Gateway, to: Route) -> list[Part]:
    """Listener on loopback with the same certificates. A pair that Envoy cannot load leaves both without an answer, and
    only this one is asked: the connections of clients do not count here."""
    if not gateway.tls_secret:
        return []
    virtual_host = {"name": CHECK, "domains": ["*"], "routes": [envoy.answer({"prefix": "/"}, 200)]}
    chain = {
        "filters": [manager(CHECK, [router()], virtual_host)],
        "transport_socket": socket(gateway, to, demand=False),
    }
    return [
        {
            "name": CHECK,
            "address": envoy.address("127.0.0.1", to.tls_check_port),
            "ignore_global_conn_limit": True,
            "filter_chains": [chain],
        }
    ]


def clusters(gateway: Gateway, to: Route) -> list[Part]:
    """The gateway itself, asked every second over TLS. Whose certificate it is does not matter here."""
    if not gateway.tls_secret:
        return []
    check = {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/", "host": "gateway"},
    }
    tls = typed("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext")
    return [
        {
            "name": CHECK,
            "type": "STATIC",
            "load_assignment": envoy.endpoints(CHECK, "127.0.0.1", to.tls_check_port),
            "transport_socket": tls,
            "health_checks": [check],
        }
    ]


def filters(gateway: Gateway) -> list[Part]:
    """Step of the listener of the probes: READY is 200 once the gateway answers itself over TLS."""
    if not gateway.tls_secret:
        return []
    return [
        http_filter(
            "envoy.filters.http.health_check",
            "health_check.v3.HealthCheck",
            pass_through_mode=False,
            headers=[{"name": ":path", "string_match": {"exact": READY}}],
            cluster_min_healthy_percentages={CHECK: {"value": 100}},
        )
    ]


def _source(to: Route, name: str, file: str) -> Part:
    path = {"path_config_source": {"path": f"{to.config_dir}/{file}"}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": path}
