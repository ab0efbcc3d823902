"""The answer to each path of the gateway: a model server's, or one of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from qwen_runtime.engine.registry import servers

from qwen_stack.settings.stack import Gateway, Settings
from qwen_stack.settings.tracing import Tracing
from qwen_stack.specs import engine_keys, limits, model_server
from qwen_stack.specs.gateway import affinity, envoy, variants
from qwen_stack.specs.gateway.envoy import DETAIL, Part, answer, error, path, rewritten, with_expression, with_status

API_PORT = 8080
METRICS_PORT = 8404
ADMIN_PORT = 9901
TLS_CHECK_PORT = 8405
CONFIG_DIR = "/etc/envoy"
KEYS_DIR = "/etc/gateway-keys"
TLS_DIR = "/etc/gateway-tls"
CLIENT_CA_DIR = "/etc/gateway-client-ca"
WEIGHTS_DIR = "/etc/gateway-weights"
# How Envoy's log marks a request whose model server ended the connection, or sent what is no answer.
NO_ANSWER = ("UC", "UR", "LR", "UPE")
# Envoy's own refusals; the gateway's programs and routes answer 400 in words of their own.
MALFORMED = "response.code == 400 && !(response.code_details in ['lua_response', 'direct_response'])"
MODELS = "/v1/models"
HEALTH = "/health"
# Draws by which a repetition looks for a replica that it has not been sent to. With two replicas each draw may hit the
# wrong one: five draws sent one request in a hundred back to the replica that had just failed it.
ANOTHER_HOST_DRAWS = 64


@dataclass(frozen=True, slots=True)
class Upstream:
    """Model servers that answer for one name; `host` resolves to the ready ones."""

    server: str
    served_as: str
    host: str
    max_model_len: int
    paths: tuple[str, ...] = ("/v1/chat/completions", "/v1/completions")
    """Paths that its engine answers by POST."""
    variant: str | None = None
    weight: int = 100
    """Percent of the requests for its name."""
    aliases: tuple[str, ...] = ()
    """Further names, in whose place engines get `served_as`."""


@dataclass(frozen=True, slots=True)
class Route:
    """The gateway's ports, and where it forwards requests: those that name no upstream go to the first.

    `dns` is the address and port of a name server; without one the pod's own is asked.
    """

    upstreams: tuple[Upstream, ...]
    upstream_port: int = model_server.API_PORT
    health_port: int = model_server.HEALTH_PORT
    api_port: int = API_PORT
    metrics_port: int = METRICS_PORT
    admin_port: int = ADMIN_PORT
    config_dir: str = CONFIG_DIR
    keys_dir: str = KEYS_DIR
    tls_dir: str = TLS_DIR
    client_ca_dir: str = CLIENT_CA_DIR
    weights_dir: str = WEIGHTS_DIR
    tls_check_port: int = TLS_CHECK_PORT
    engine_key_dir: str = engine_keys.SENT_DIR
    dns: tuple[str, int] | None = None
    limits_host: str = limits.NAME
    limits_port: int = limits.PORT
    ends_port: int = limits.ENDS_PORT
    traces: Tracing | None = None


def route(settings: Settings) -> Route:
    return Route(
        tuple(
            Upstream(
                model.server,
                model.served_name,
                f"{model.server}.{settings.service_domain}",
                model.max_model_len,
                servers()[model.engine].PATHS,
                model.variant,
                100 if model.weight is None else model.weight,
                model.aliases,
            )
            for model in settings.models
        ),
        limits_host=f"{limits.NAME}.{settings.service_domain}",
        traces=settings.tracing,
    )


def model(upstream: Upstream, name: str) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "qwen-onprem",
        "max_model_len": upstream.max_model_len,
    }


def routes(gateway: Gateway, to: Route) -> list[Part]:
    """All routes; the first that matches decides."""
    served = ", ".join(group[0].served_as for group in variants.groups(to.upstreams))
    paths = tuple(dict.fromkeys(where for upstream in to.upstreams for where in upstream.paths))
    unknown = f"Unknown path. This endpoint has {', '.join((*paths, MODELS))} and {HEALTH}, and serves {served}."
    return [
        # The number of model servers is known to keys.lua alone, which answers before this where there is one.
        answer(path(HEALTH), 503),
        *(part for where in paths for part in _inference(gateway, to, where)),
        *_models(gateway, to, served),
        answer({"prefix": "/"}, 404, error(unknown, "invalid_request_error", "not_found")),
    ]


def _inference(gateway: Gateway, to: Route, where: str) -> list[Part]:
    """One path: to the entry that the body names, else to the first. Not every engine has every path."""
    first, *others = variants.groups(to.upstreams)
    wrong_method = error("This path takes POST.", "invalid_request_error", "method_not_allowed")
    return [
        *(part for group in others for part in _served(gateway, group, where, dynamic_metadata=[_named(group[0])])),
        *_served(gateway, first, where),
        answer(path(where), 405, wrong_method, allow="POST"),
    ]


def _served(gateway: Gateway, group: list[Upstream], where: str, **match: object) -> list[Part]:
    """One path of one name. Of several entries all must have it, so that no request depends on its luck."""
    asked = {**path(where, "POST"), **match}
    paths = [each for each in group[0].paths if all(each in upstream.paths for upstream in group)]
    if where not in paths:
        absent = f"The engine of {group[0].served_as} has no {where}. It has {', '.join(paths)}."
        return [answer(asked, 404, error(absent, "invalid_request_error", "not_found"))]
    if len(group) == 1:
        return [{"match": asked, "route": _forward(gateway, {"cluster": group[0].server})}]
    return variants.routes(group, asked, lambda target: _forward(gateway, target))


def _models(gateway: Gateway, to: Route, served: str) -> list[Part]:
    """The list of models, and each model by its name. No model server knows all of several.

    A name with several entries promises the shortest of their contexts.
    """
    shortest = [min(group, key=lambda upstream: upstream.max_model_len) for group in variants.groups(to.upstreams)]
    models = [model(upstream, name) for upstream in shortest for name in (upstream.served_as, *upstream.aliases)]
    listed = (
        answer(path(MODELS, "GET"), 200, json.dumps({"object": "list", "data": models}))
        if len(to.upstreams) > 1 or len(models) > 1
        else {"match": path(MODELS, "GET"), "route": _forward(gateway, {"cluster": to.upstreams[0].server})}
    )
    unknown = error(f"No such model. This endpoint serves {served}.", "invalid_request_error", "model_not_found")
    return [
        listed,
        answer(
            path(MODELS), 405, error("This path takes GET.", "invalid_request_error", "method_not_allowed"), allow="GET"
        ),
        *(answer(path(f"{MODELS}/{each['id']}", "GET"), 200, json.dumps(each)) for each in models),
        answer({"safe_regex": {"regex": f"{MODELS}/[A-Za-z0-9._:-]+"}}, 404, unknown),
    ]


def _named(upstream: Upstream) -> Part:
    """Match of the name that body.lua has read from the body."""
    return {"filter": "gateway", "path": [{"key": "model"}], "value": {"string_match": {"exact": upstream.served_as}}}


def _forward(gateway: Gateway, target: Part) -> Part:
    """Forwarding to one cluster, or to several with weights, with repetitions before the first byte of an answer.

    These are repeated: no connection; a connection that closed without an answer, as a killed replica's does; and 503,
    with which a draining replica refuses. A completion changes nothing, so sending it again is safe. Each attempt
    goes to another replica.
    """
    other_host = envoy.typed(
        "envoy.retry_host_predicates.previous_hosts", "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    )
    return {
        **target,
        **affinity.hash_policy(),
        # An answer may take as long as it likes; silence may not.
        "timeout": "0s",
        "idle_timeout": f"{gateway.timeouts.server_seconds}s",
        "retry_policy": {
            "retry_on": "connect-failure,reset,retriable-status-codes",
            "retriable_status_codes": [503],
            "num_retries": gateway.retries,
            "retry_host_predicate": [other_host],
            "host_selection_retry_max_attempts": ANOTHER_HOST_DRAWS,
            "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
        },
    }


def own_answers(gateway: Gateway, to: Route) -> Part:
    """Answers that Envoy makes itself, in the shape of OpenAI's errors."""
    arrival, silence, bad = gateway.timeouts.request_seconds, gateway.timeouts.server_seconds, "invalid_request_error"
    longest = max(upstream.max_model_len for upstream in to.upstreams)
    # Agents shorten their history when they read these words and this code, which are OpenAI's.
    too_large = (
        f"This model's maximum context length is {longest} tokens. "
        f"The body is larger than {gateway.max_body_bytes} bytes. Send a shorter prompt."
    )
    rules = (
        (with_status(431), 400, error("The request has more than 16 KiB or 100 lines of headers. Send fewer.", bad)),
        (
            with_expression(MALFORMED),
            400,
            error(f"The request is malformed ({DETAIL}). Correct the client, or a proxy before it.", bad),
        ),
        (with_status(426), 426, error("The request is not in HTTP/1.1. Let the client speak it.", bad)),
        (
            with_expression("response.code_details == 'upgrade_failed'"),
            403,
            error("The request asks for another protocol, such as WebSocket. Send it without Upgrade.", bad),
        ),
        (with_status(501), 400, error("The request has a Transfer-Encoding other than chunked.", bad)),
        (with_status(408), 408, error(f"The request did not arrive within {arrival} s.", bad, "request_timeout")),
        (with_status(413), 413, error(too_large, bad, "context_length_exceeded")),
        (with_status(500), 500, error("The gateway failed.", "server_error")),
        (with_status(504), 504, error(f"The model server sent nothing for {silence} s.", "server_error", "timeout")),
    )
    no_answer = "The model server ended the request without a valid answer. Send it again."
    none_ready = "No model server is ready. Send the request again later."
    return {
        "body_format": envoy.text_format("%LOCAL_REPLY_BODY%"),
        "mappers": [
            rewritten(with_status(503, NO_ANSWER), 502, error(no_answer, "server_error", "bad_gateway")),
            rewritten(with_status(503), 503, error(none_ready, "server_error", "model_unavailable"), retry_after="5"),
            *(rewritten(*rule) for rule in rules),
        ],
    }
