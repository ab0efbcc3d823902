"""Traces of requests: gateways and engines send spans to the site's collector, by OpenTelemetry's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qwen_runtime.engine.registry import servers

from qwen_stack.settings.stack import Model, Settings
from qwen_stack.specs.gateway import envoy
from qwen_stack.specs.gateway.envoy import Part, typed

if TYPE_CHECKING:
    from qwen_stack.specs.gateway.routes import Route

CLUSTER = "traces"
PATH = "/v1/traces"
SERVICE = "gateway"
# A span has the address that was asked, and a confused client may put a key behind its `?`. The beginning of the path
# is enough to tell what was asked for.
PATH_CHARACTERS = 12
TIMEOUT = "5s"


def port(endpoint: str) -> int:
    number = urlsplit(endpoint).port
    assert number
    return number


def flag(model: Model) -> str | None:
    """Flag by which its engine takes an address for spans; None where it sends none."""
    return servers()[model.engine].TRACES_FLAG


def traced(model: Model, settings: Settings) -> Model:
    """The model whose engine sends its spans too, where it can and the site wants them."""
    named = flag(model)
    if settings.tracing is None or named is None:
        return model
    arguments = (*model.extra_args, named, settings.tracing.endpoint + PATH)
    return model.model_copy(update={"extra_args": arguments, "env": {**environment(model.server), **model.env}})


def environment(server: str) -> dict[str, str]:
    """Variables by which vLLM's exporter knows the protocol and the name of the sender."""
    return {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": server}


def of_requests(to: Route) -> Part:
    """Part of the listener of clients: each request that is traced has a span, and the engine gets its traceparent."""
    if to.traces is None:
        return {}
    uri = {"uri": to.traces.endpoint + PATH, "cluster": CLUSTER, "timeout": TIMEOUT}
    tracer = typed(
        "envoy.tracers.opentelemetry",
        "config.trace.v3.OpenTelemetryConfig",
        http_service={"http_uri": uri},
        service_name=SERVICE,
    )
    return {
        "tracing": {
            "provider": tracer,
            "random_sampling": {"value": to.traces.percent},
            "max_path_tag_length": PATH_CHARACTERS,
            "spawn_upstream_span": False,
        }
    }


def clusters(to: Route, kind: Part) -> list[Part]:
    """The collector; `kind` says how its name is looked up."""
    if to.traces is None:
        return []
    address = urlsplit(to.traces.endpoint)
    assert address.hostname
    return [
        {
            "name": CLUSTER,
            "cluster_type": kind,
            "connect_timeout": "2s",
            "load_assignment": envoy.endpoints(CLUSTER, address.hostname, port(to.traces.endpoint)),
        }
    ]
