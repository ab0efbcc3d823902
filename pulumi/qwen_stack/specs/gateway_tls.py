"""The gateway's certificate: a file that names it, and the socket that uses it."""

from __future__ import annotations

from qwen_stack.specs.envoy import TYPES, Part, typed
from qwen_stack.specs.gateway_routes import Route

CERTIFICATE_FILE = "certificate.json"
NAME = "certificate"
SECRET = f"{TYPES}extensions.transport_sockets.tls.v3.Secret"


def certificate(to: Route) -> Part:
    """Certificate and key of a mounted Secret. A new one is taken for new connections; those that stand keep theirs."""
    pair = {
        "certificate_chain": {"filename": f"{to.tls_dir}/tls.crt"},
        "private_key": {"filename": f"{to.tls_dir}/tls.key"},
        # The kubelet replaces all files of a Secret at once, by moving a link.
        "watched_directory": {"path": to.tls_dir},
    }
    return {"resources": [{"@type": SECRET, "name": NAME, "tls_certificate": pair}]}


def socket(to: Route) -> Part:
    """Socket that speaks TLS. HTTP/1.1 alone is offered, as without TLS."""
    source = {"path_config_source": {"path": f"{to.config_dir}/{CERTIFICATE_FILE}"}, "resource_api_version": "V3"}
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [{"name": NAME, "sds_config": source}],
        },
    )
