"""Parts of a configuration of Envoy, in Envoy's own spelling."""

from __future__ import annotations

import json
from typing import Any

Part = dict[str, Any]

TYPES = "type.googleapis.com/envoy."
# Envoy can take such a number from a file while it runs, and demands a name for it there. Nothing sets this one.
NOT_AT_RUNTIME = "not.set"
DETAIL = "<detail>"


def typed(name: str, kind: str, **fields: Any) -> Part:
    """An extension of Envoy with its configuration; `kind` is the type's name below `envoy.`."""
    return {"name": name, "typed_config": {"@type": TYPES + kind, **fields}}


def http_filter(name: str, kind: str, **fields: Any) -> Part:
    return typed(name, f"extensions.filters.http.{kind}", **fields)


def manager(name: str, filters: list[Part], virtual_host: Part, **fields: Any) -> Part:
    """A listener's speaker of HTTP/1.1."""
    return typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="HTTP1",
        http_filters=filters,
        route_config={"name": name, "virtual_hosts": [virtual_host]},
        **fields,
    )


def router() -> Part:
    return http_filter("envoy.filters.http.router", "router.v3.Router", suppress_envoy_headers=True)


def address(host: str, port: int) -> Part:
    return {"socket_address": {"address": host, "port_value": port}}


def endpoints(cluster: str, host: str, port: int, **fields: Any) -> Part:
    endpoint = {"address": address(host, port), **fields}
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}


def headers(**values: str) -> list[Part]:
    """Headers of an answer; an underscore stands for a dash."""
    return [
        {"header": {"key": name.replace("_", "-"), "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in values.items()
    ]


def path(exact: str, method: str | None = None) -> Part:
    """Match of one path, whatever its query is."""
    match: Part = {"path": exact}
    if method:
        match["headers"] = [{"name": ":method", "string_match": {"exact": method}}]
    return match


def answer(match: Part, status: int, body: str = "", **answer_headers: str) -> Part:
    """Route that Envoy answers by itself."""
    response: Part = {"status": status}
    if body:
        response["body"] = {"inline_string": body}
    route: Part = {"match": match, "direct_response": response}
    if answer_headers:
        route["response_headers_to_add"] = headers(**answer_headers)
    return route


def with_status(status: int, flags: tuple[str, ...] = ()) -> Part:
    """Filter of answers by their status and, where flags are given, by what ended the request."""
    by_status = {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": NOT_AT_RUNTIME}}
        }
    }
    if not flags:
        return by_status
    return {"and_filter": {"filters": [by_status, {"response_flag_filter": {"flags": list(flags)}}]}}


def with_expression(expression: str) -> Part:
    """Filter of answers by an expression in CEL, which can name what Envoy knows as the answer's details."""
    kind = "extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {"extension_filter": typed("envoy.access_loggers.extension_filters.cel", kind, expression=expression)}


def text_format(text: str) -> Part:
    return {"text_format_source": {"inline_string": text}, "content_type": "application/json"}


def rewritten(answers: Part, status: int, body: str, **answer_headers: str) -> Part:
    """Rule that gives Envoy's own answers a status and a body. DETAIL in it stands for Envoy's word for the cause."""
    rule: Part = {
        "filter": answers,
        "status_code": status,
        "body_format_override": text_format(body.replace("%", "%%").replace(DETAIL, "%RESPONSE_CODE_DETAILS%")),
    }
    if answer_headers:
        rule["headers_to_add"] = headers(**answer_headers)
    return rule


def error(message: str, kind: str, code: str | None = None) -> str:
    """Body of an error in OpenAI's format."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
