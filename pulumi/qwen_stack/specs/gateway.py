"""Manifests of the gateway, and the configuration of its HAProxy."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from qwen_stack.settings import Gateway, Settings
from qwen_stack.specs import manifest, model_server
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    Manifest,
    apart,
    app,
    container_security,
    exposed,
    metadata,
    pod_security,
    probe,
    service,
)

NAME = "gateway"
METRICS_NAME = "gateway-metrics"
API_PORT = 8080
METRICS_PORT = 8404
CONFIG_DIR = "/etc/haproxy"
KEYS_DIR = "/etc/haproxy-keys"
# Time in which every node stops sending to a gateway that ends, before it refuses connections.
WITHDRAWAL_S = 5
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


def memory_mib(gateway: Gateway) -> int:
    """Memory limit: both buffers of every connection, and 128 MiB for everything else."""
    return 128 + -(-2 * gateway.max_connections * buffer_bytes(gateway) // 2**20)


def error(message: str, kind: str, code: str | None = None) -> str:
    """Body of an error in OpenAI's format."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def haproxy_config(gateway: Gateway, to: Route) -> str:
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


def clients_map(api_keys: Mapping[str, str]) -> str:
    """Lines of `<SHA-256 of a key> <name>`: the cluster holds no key, and the time of a lookup does not reveal one."""
    lines = (f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n" for name, key in sorted(api_keys.items()))
    return "".join(lines)


def clients_secret(clients: Any) -> Manifest:
    """`clients` is the map in base64: a string, or a pulumi Output of one."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(f"{NAME}-clients"),
        "type": "Opaque",
        "data": {"clients.map": clients},
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config_map(config: str) -> Manifest:
    return manifest.config_map(f"{NAME}-config", {"haproxy.cfg": config})


def stop_script(gateway: Gateway) -> str:
    """Hook before the pod ends. HAProxy lets streams finish on SIGUSR1; SIGTERM, which follows this hook, cuts them."""
    return f"sleep {WITHDRAWAL_S}; kill -USR1 1; sleep {gateway.drain_seconds}"


def container(gateway: Gateway, image: str) -> Manifest:
    return {
        "name": NAME,
        "image": image,
        "ports": [
            {"name": "http", "containerPort": API_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": f"{memory_mib(gateway)}Mi"},
        },
        # Health of the gateway itself: without a ready model server it still answers, with an error.
        "readinessProbe": probe("/healthz", "metrics", period_s=2, failures=2),
        "livenessProbe": probe("/healthz", "metrics", period_s=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", stop_script(gateway)]}}},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "clients", "mountPath": KEYS_DIR, "readOnly": True},
        ],
    }


def deployment(gateway: Gateway, image: str, config_checksum: str, clients_checksum: Any) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME),
        "spec": {
            "replicas": gateway.replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": app(NAME)},
            "template": {
                "metadata": {
                    "labels": app(NAME),
                    "annotations": {"checksum/config": config_checksum, "checksum/clients": clients_checksum},
                },
                "spec": {
                    **NO_CLUSTER_ACCESS,
                    "affinity": apart(NAME),
                    "terminationGracePeriodSeconds": WITHDRAWAL_S + gateway.drain_seconds + 10,
                    "securityContext": pod_security(),
                    "containers": [container(gateway, image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{NAME}-config"}},
                        {"name": "clients", "secret": {"secretName": f"{NAME}-clients", "defaultMode": 0o440}},
                    ],
                },
            },
        },
    }


def gateway_service(gateway: Gateway) -> Manifest:
    if gateway.service.type == "LoadBalancer":
        return service(NAME, {"http": 80}, type="LoadBalancer")
    return exposed(NAME, "http", 80, gateway.service.node_port)


def metrics_service() -> Manifest:
    """Service whose name resolves to every gateway, for Prometheus."""
    return service(METRICS_NAME, {"metrics": METRICS_PORT}, selector=app(NAME), clusterIP="None")
