"""Pages of other origins: which of them a browser lets call the gateway."""

from __future__ import annotations

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway.envoy import TYPES, Part, headers, http_filter

NAME = "envoy.filters.http.cors"
KIND = "cors.v3.Cors"
POLICY = f"{TYPES}extensions.filters.http.cors.v3.CorsPolicy"
# Engines let every page in that asks. The gateway decides instead, so they do not learn that a page did.
NOT_FOR_ENGINES = ["origin"]


def filters(gateway: Gateway) -> list[Part]:
    """The first step of a request: a browser asks before it sends, and that question carries no key."""
    return [http_filter(NAME, KIND)] if gateway.cors_origins else []


def policy(gateway: Gateway) -> Part:
    """Part of the virtual host. A star for headers leaves out Authorization, which has to be named beside it.

    https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
    """
    closed: Part = {"request_headers_to_remove": NOT_FOR_ENGINES}
    if not gateway.cors_origins:
        return closed
    rules = {
        "@type": POLICY,
        "allow_origin_string_match": [{"exact": origin} for origin in gateway.cors_origins],
        "allow_methods": "GET, POST",
        "allow_headers": "authorization, *",
        "expose_headers": "*",
        "max_age": "600",
    }
    return {**closed, "typed_per_filter_config": {NAME: rules}}


def opened(gateway: Gateway, routes: list[Part], cluster: str) -> list[Part]:
    """The routes as listed pages see them.

    Envoy's filter works only on routes that forward. A browser's question gets one to any cluster, which never sees it,
    and the gateway's own answers are doubled for each origin.
    """
    if not gateway.cors_origins:
        return routes
    asked = [_is(":method", "OPTIONS"), {"name": "access-control-request-method", "present_match": True}]
    question = {"match": {"prefix": "/", "headers": asked}, "route": {"cluster": cluster}}
    return [question, *(part for route in routes for part in _for_each_origin(gateway, route))]


def _for_each_origin(gateway: Gateway, route: Part) -> list[Part]:
    if "direct_response" not in route:
        return [route]
    match, added = route["match"], route.get("response_headers_to_add", [])
    opened = [
        {
            **route,
            "match": {**match, "headers": [*match.get("headers", []), _is("origin", origin)]},
            "response_headers_to_add": [*added, *headers(access_control_allow_origin=origin, vary="origin")],
        }
        for origin in gateway.cors_origins
    ]
    return [*opened, route]


def _is(name: str, value: str) -> Part:
    return {"name": name, "string_match": {"exact": value}}
