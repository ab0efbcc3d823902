"""The files that Envoy runs with as the gateway: its configuration, and programs in Lua."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs import engine_keys, traces
from qwen_stack.specs.gateway import body as gateway_body
from qwen_stack.specs.gateway import cors, envoy, limits, tls, variants
from qwen_stack.specs.gateway import weights as gateway_weights
from qwen_stack.specs.gateway.envoy import Part, error, http_filter, manager, router, typed
from qwen_stack.specs.gateway.routes import HEALTH, Route, own_answers, routes
from qwen_stack.specs.gateway.upstreams import budget, buffer_bytes, by_name, cluster

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
CONFIG_FILE, KEYS_FILE = "envoy.json", "keys.lua"
LISTENERS_FILE, LISTENER = "listeners.json", f"{envoy.TYPES}config.listener.v3.Listener"
API, OPERATIONS, ADMIN = "api", "operations", "admin"
MIB = 2**20
HEADERS_KIB = 16
# Envoy itself, its statistics and its threads, without a request: 55 MiB were seen.
BASE_MIB = 192
# Above this share of the memory limit the gateway refuses new requests instead of being killed with all of its streams.
FULL = 0.95

UNKNOWN_KEY = error(
    "The API key is missing or not known. Send the header Authorization: Bearer <key> with a key of this site.",
    "invalid_request_error",
    "invalid_api_key",
)
# Neither the key nor the query, which a confused client may put a key into, is logged. A client's traceparent goes on
# to the engine as it came; 55 characters are what it may have.
LOG = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT):55%",
    "source": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "client": "%DYNAMIC_METADATA(gateway:client)%",
    "session": "%DYNAMIC_METADATA(gateway:session)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ):256%",
    "status": "%RESPONSE_CODE%",
    "server": "%UPSTREAM_HOST%",
    "variant": variants.OF_HOST,
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "total_ms": "%DURATION%",
    "bytes": "%BYTES_SENT%",
    "end": "%RESPONSE_FLAGS%",
    "detail": "%RESPONSE_CODE_DETAILS%",
}


def memory_mib(gateway: Gateway) -> int:
    """Memory limit: the body of every connection, once kept and once on its way, and what Envoy needs itself."""
    return BASE_MIB + -(-2 * gateway.max_connections * buffer_bytes(gateway) // MIB)


def files(gateway: Gateway, to: Route) -> dict[str, str]:
    """The files of the gateway that do not change while it runs, by name. `to.config_dir` is where they lie."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    keys = templates.get_template(f"{KEYS_FILE}.j2").render(to=to, unknown_key=UNKNOWN_KEY)
    body = gateway_body.program(gateway, to, templates.get_template(f"{gateway_body.BODY_FILE}.j2"))
    programs = {KEYS_FILE: keys, **({gateway_body.BODY_FILE: body} if gateway_body.filters(gateway, to) else {})}
    parts = {CONFIG_FILE: config(gateway, to)}
    if gateway.limits:
        parts[LISTENERS_FILE] = {"resources": [{"@type": LISTENER, **api_listener(gateway, to)}]}
    parts |= tls.files(gateway, to)
    texts = {name: json.dumps(part, indent=1) + "\n" for name, part in parts.items()}
    return {**programs, **texts}


def weights(to: Route) -> dict[str, str]:
    """The files that running gateways read again. They lie in `to.weights_dir`."""
    return gateway_weights.files(variants.groups(to.upstreams))


def config(gateway: Gateway, to: Route) -> Part:
    admin = {
        "name": ADMIN,
        "type": "STATIC",
        "load_assignment": envoy.endpoints(ADMIN, "127.0.0.1", to.admin_port),
    }
    weights = {"layered_runtime": gateway_weights.layers(to.weights_dir)}
    # The log that the limiter reads crashes if its listener is there before its cluster: such a listener comes later.
    later = {"lds_config": {"path_config_source": {"path": f"{to.config_dir}/{LISTENERS_FILE}"}}}
    at_once = [] if gateway.limits else [api_listener(gateway, to)]
    return {
        # Envoy demands it of whoever watches files; nothing reads it.
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {"address": envoy.address("127.0.0.1", to.admin_port)},
        "static_resources": {
            "listeners": [*at_once, operations_listener(gateway, to), *tls.listeners(gateway, to)],
            "clusters": [
                *(cluster(gateway, to, upstream) for upstream in to.upstreams),
                *variants.clusters(to.upstreams, budget()),
                *limits.clusters(gateway, to),
                *tls.clusters(gateway, to),
                *traces.clusters(to, by_name(to)),
                admin,
            ],
        },
        **({"dynamic_resources": later} if gateway.limits else {}),
        **(weights if variants.are_there(to.upstreams) else {}),
        "overload_manager": overload(gateway),
    }


def api_listener(gateway: Gateway, to: Route) -> Part:
    """Listener of the clients. HTTP/1.1 alone: over HTTP/2 one connection would carry a hundred bodies."""
    idle = f"{gateway.timeouts.server_seconds}s"
    arrival = f"{gateway.timeouts.request_seconds}s"
    virtual_host = {
        "name": API,
        "domains": ["*"],
        "routes": cors.opened(gateway, routes(gateway, to), to.upstreams[0].server),
        "request_body_buffer_limit": buffer_bytes(gateway),
        **cors.policy(gateway),
    }
    http = manager(
        API,
        [*request_filters(gateway, to), engine_keys.injection(to.engine_key_dir), router()],
        virtual_host,
        use_remote_address=True,
        server_header_transformation="PASS_THROUGH",
        always_set_request_id_in_response=True,
        max_request_headers_kb=HEADERS_KIB,
        request_headers_timeout=arrival,
        request_timeout=arrival,
        stream_idle_timeout=idle,
        common_http_protocol_options={"idle_timeout": "60s"},
        local_reply_config=own_answers(gateway, to),
        access_log=[access_log(gateway), *limits.logs(gateway)],
        **traces.of_requests(to),
    )
    security = {"transport_socket": tls.socket(gateway, to)} if gateway.tls_secret else {}
    return {
        "name": API,
        "address": envoy.address("0.0.0.0", to.api_port),
        "traffic_direction": "INBOUND",
        "per_connection_buffer_limit_bytes": buffer_bytes(gateway),
        "filter_chains": [{"filters": [http], **security}],
    }


def request_filters(gateway: Gateway, to: Route) -> list[Part]:
    """Steps of a request before it is forwarded: who asks, all of its body, and what follows from the body."""
    return [
        *cors.filters(gateway),
        http_filter("keys", "lua.v3.Lua", default_source_code={"filename": f"{to.config_dir}/{KEYS_FILE}"}),
        http_filter("whole", "buffer.v3.Buffer", max_request_bytes=gateway.max_body_bytes),
        *gateway_body.filters(gateway, to),
    ]


def access_log(gateway: Gateway) -> Part:
    is_health = {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{HEALTH}(\?.*)?"}}, "invert_match": True}
    log = typed(
        "envoy.access_loggers.stdout",
        "extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={"json_format": {**LOG, **limits.logged(gateway)}},
    )
    return {**log, "filter": {"header_filter": {"header": is_health}}}


def operations_listener(gateway: Gateway, to: Route) -> Part:
    """Listener of the probes and of Prometheus. Connections of clients, however many, do not count here."""
    virtual_host = {
        "name": OPERATIONS,
        "domains": ["*"],
        "routes": [
            *(envoy.answer(envoy.path(path), 200) for path in ("/healthz", tls.READY)),
            {"match": envoy.path("/metrics"), "route": {"cluster": ADMIN, "prefix_rewrite": "/stats/prometheus"}},
        ],
    }
    return {
        "name": OPERATIONS,
        "address": envoy.address("0.0.0.0", to.metrics_port),
        "ignore_global_conn_limit": True,
        "filter_chains": [{"filters": [manager(OPERATIONS, [*tls.filters(gateway), router()], virtual_host)]}],
    }


def overload(gateway: Gateway) -> Part:
    """Bounds of the whole gateway: its connections, and the memory of what they hold."""
    monitors = "envoy.resource_monitors"
    heap = f"{monitors}.fixed_heap"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            typed(
                f"{monitors}.global_downstream_max_connections",
                "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=gateway.max_connections,
            ),
            typed(
                heap,
                "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=memory_mib(gateway) * MIB,
            ),
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": heap, "threshold": {"value": FULL}}],
            }
        ],
    }
