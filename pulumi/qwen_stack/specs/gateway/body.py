"""The program that reads a body once for the model, the conversation and the limits."""

from __future__ import annotations

import jinja2

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway import affinity, limits, variants
from qwen_stack.specs.gateway.envoy import Part, error, http_filter
from qwen_stack.specs.gateway.routes import Route

BODY_FILE = "body.lua"
UNCLEAR_MODEL = error(
    "The body names its model twice, or writes the name with escapes. Send one key `model` with a plain name.",
    "invalid_request_error",
    "unclear_model",
)


def filters(gateway: Gateway, to: Route) -> list[Part]:
    """Step of a request once all of its body is there; none where nothing follows from the body."""
    if not (_has_names(to) or _has_sessions(gateway, to) or gateway.limits):
        return []
    return [http_filter("body", "lua.v3.Lua", default_source_code={"filename": f"{to.config_dir}/{BODY_FILE}"})]


def program(gateway: Gateway, to: Route, template: jinja2.Template) -> str:
    return template.render(
        several=_has_names(to),
        session=_has_sessions(gateway, to),
        limits=gateway.limits is not None,
        aliases={alias: upstream.served_as for upstream in to.upstreams for alias in upstream.aliases},
        unclear_model=UNCLEAR_MODEL,
        **affinity.constants(),
        **limits.constants(gateway, to),
    )


def _has_names(to: Route) -> bool:
    return len(to.upstreams) > 1 or any(upstream.aliases for upstream in to.upstreams)


def _has_sessions(gateway: Gateway, to: Route) -> bool:
    return gateway.affinity.enabled or variants.are_there(to.upstreams)
