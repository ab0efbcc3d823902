"""The configuration of the gateway's HAProxy: where requests go, what they may be, and how failures are answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jinja2

from qwen_stack.settings import Gateway, Settings
from qwen_stack.specs import model_server

API_PORT = 8080
METRICS_PORT = 8404
KEYS_DIR = "/etc/haproxy-keys"
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Model servers that answer for one name; `host` resolves to the ready ones."""

    server: str
    served_as: str
    host: str
    max_model_len: int


@dataclass(frozen=True, slots=True)
class Route:
    """The gateway's ports, and where it forwards requests: those that name no upstream go to the first."""

    upstreams: tuple[Upstream, ...]
    upstream_port: int = model_server.API_PORT
    health_port: int = model_server.HEALTH_PORT
    api_port: int = API_PORT
    metrics_port: int = METRICS_PORT
    keys_dir: str = KEYS_DIR


def route(settings: Settings) -> Route:
    return Route(
        tuple(
            Upstream(model.server, model.served_name, f"{model.server}.{settings.service_domain}", model.max_model_len)
            for model in settings.models
        )
    )


def model_list(to: Route) -> str:
    """Answer to /v1/models if several names are served: no model server knows all of them."""
    models = [
        {
            "id": upstream.served_as,
            "object": "model",
            "created": 0,
            "owned_by": "qwen-onprem",
            "max_model_len": upstream.max_model_len,
        }
        for upstream in to.upstreams
    ]
    return json.dumps({"object": "list", "data": models})


def buffer_bytes(gateway: Gateway) -> int:
    """tune.bufsize: HAProxy can repeat a request only if all of it, body and headers, is in one buffer.

    So the buffer is the largest accepted body plus 32 KiB for headers (refused above 16 KiB) and HAProxy's own
    reserve, rounded up to 16 KiB. HAProxy allocates a buffer only while it holds bytes, at most two for a request.
    """
    return -(-(gateway.max_body_bytes + 32_768) // 16_384) * 16_384


def error(message: str, kind: str, code: str | None = None) -> str:
    """Body of an error in OpenAI's format."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def configuration(gateway: Gateway, to: Route) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("haproxy.cfg.j2").render(
        gateway=gateway, to=to, buffer_bytes=buffer_bytes(gateway), error=error, model_list=model_list(to)
    )
