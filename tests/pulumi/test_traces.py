"""A request that is traced is one trace, from its client to the engine, and says nothing that was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.settings.tracing import Tracing
from qwen_stack.specs import model_server, traces
from tests.gateway.site import CHAT, ONE, eventually, needs_envoy, running
from tests.support.web import Quiet, served

from .network import OUTSIDE, Network, part
from .recorded_stack import run_program

FLAG = "--otlp-traces-endpoint"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENDPOINT = "http://otel.site.example:4318"


@needs_envoy
def test_a_span_of_the_gateway_reaches_the_collector_and_its_trace_the_engine(tmp_path: Path, settings: Any) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(Quiet):
        def do_POST(self) -> None:
            received.append((self.path, b"".join(iter(self.chunk, b""))))
            self.send_response(200)
            self.end_headers()

        def chunk(self) -> bytes:
            """Next piece of a body of unknown length, empty at its end."""
            piece = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return piece

    with served(Collector) as port:
        tracing = Tracing(endpoint=f"http://127.0.0.1:{port}", percent=100)
        with running(tmp_path, settings.gateway, traces=tracing) as site:
            site.add_model(ONE)
            eventually(lambda: site.model_servers() == 1)
            answer = site.ask(f"{CHAT}?key=a-secret", b'{"prompt": "a-secret"}', traceparent=f"00-{TRACE}-{SPAN}-01")
            assert answer.status == 200
            _, trace, parent, _ = answer.json["headers"]["traceparent"].split("-")
            assert trace == TRACE, "the client's own trace"
            assert parent != SPAN, "below the gateway's span"
            own = site.ask(CHAT, {}).json["headers"]["traceparent"].split("-")[1]
            eventually(lambda: all(bytes.fromhex(one) in b"".join(b for _, b in received) for one in (TRACE, own)))
    assert {path for path, _ in received} == {traces.PATH}
    sent = b"".join(body for _, body in received)
    assert b"a-secret" not in sent
    assert site.requests, "each has its line in the log"


def test_engines_that_can_send_their_spans_to_the_same_collector(local: dict[str, Any]) -> None:
    settings = config.parse({**local, "tracing": {"endpoint": ENDPOINT}})
    vllm, reference = (traces.traced(model, settings) for model in settings.models)
    arguments = model_server.arguments(vllm)
    assert arguments[arguments.index(FLAG) + 1] == f"{ENDPOINT}/v1/traces"
    assert vllm.env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert reference == settings.models[1]
    built = run_program({**local, "tracing": {"endpoint": ENDPOINT}})
    [container] = built["Deployment/model-server"].inputs["spec"]["template"]["spec"]["containers"]
    assert FLAG in container["args"]


def test_they_reach_its_port_and_without_it_nothing(local: dict[str, Any]) -> None:
    with_it = Network(config.parse({**local, "tracing": {"endpoint": ENDPOINT}}))
    assert with_it.allows(part("gateway"), OUTSIDE, 4318)
    assert with_it.allows(part("model-server"), OUTSIDE, 4318)
    assert not with_it.allows(part("model-server"), OUTSIDE, 443)
    assert not with_it.allows(part("model-server-reference"), OUTSIDE, 4318)
    assert not Network(config.parse(local)).allows(part("model-server"), OUTSIDE, 4318)


def test_an_engine_with_two_collectors_is_refused(local: dict[str, Any]) -> None:
    first, *others = local["models"]
    own = {**first, "extraArgs": [*first["extraArgs"], FLAG, "http://other:4318"]}
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**local, "models": [own, *others], "tracing": {"endpoint": ENDPOINT}})
    [problem] = caught.value.problems
    assert problem.keys[0] == "tracing.endpoint"
    assert config.parse({**local, "models": [own, *others]})


@pytest.mark.parametrize("endpoint", ["otel:4318", "https://otel:4318", "http://otel", "http://otel:4318/v1/traces"])
def test_an_address_that_cannot_be_used_is_refused(local: dict[str, Any], endpoint: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**local, "tracing": {"endpoint": endpoint}})
    [problem] = caught.value.problems
    assert problem.keys == ("tracing.endpoint",)
