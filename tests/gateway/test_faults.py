"""The gateway when clients, model servers and DNS misbehave: a real Envoy between fakes."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from pathlib import Path
from typing import Any

from qwen_stack.specs.gateway import config as gateway_config

from .site import CHAT, KEY, ONE, THREE, TWO, Site, eventually, needs_envoy

pytestmark = needs_envoy


def begin(site: Site, body: bytes) -> socket.socket:
    """A request whose answer nobody has read yet."""
    client = socket.create_connection(("127.0.0.1", site.api_port), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def ask_operations(site: Site, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=2)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def test_connections_without_a_key_do_not_starve_the_probes(site: Site, settings: Any) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(settings.gateway.max_connections + 8):
            held.enter_context(socket.create_connection(("127.0.0.1", site.api_port), timeout=5))
        begun_s = time.monotonic()
        assert ask_operations(site, "/healthz") == 200
        assert time.monotonic() - begun_s < 1
    # They have gone, and clients are served as before.
    eventually(lambda: site.ask("/v1/models").status == 200)


def test_a_connection_is_not_switched_to_http_2(site: Site) -> None:
    assert site.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith(b"HTTP/1.1 4")


def test_a_client_that_leaves_before_its_answer_frees_the_model_server(site: Site) -> None:
    site.add_model(ONE, delay=30)
    eventually(lambda: site.model_servers() == 1)
    for body in (b"{}", b"x" * 100_000):
        before = site.left(ONE)
        client = begin(site, body)
        time.sleep(0.5)
        client.close()
        eventually(lambda before=before: site.left(ONE) == before + 1)  # type: ignore[misc]


def test_a_request_that_kills_its_model_server_kills_one_more_at_most(site: Site) -> None:
    for address in (ONE, TWO, THREE):
        site.add_model(address)
    eventually(lambda: site.model_servers() == 3)
    answer = site.ask(CHAT, {"poison": True})
    assert (answer.status, answer.json["error"]["code"]) == (502, "bad_gateway")
    time.sleep(1)
    assert sum(process.poll() is not None for process in site.models.values()) == 2


def test_refused_requests_never_take_a_model_server_out(two_models: Site) -> None:
    assert [two_models.ask(CHAT, {"refuse": True}).status for _ in range(30)] == [400] * 30
    assert two_models.model_servers() == 2
    assert {two_models.ask(CHAT, {}).json["backend"] for _ in range(20)} == {ONE, TWO}


def test_a_broken_model_server_rests_and_comes_back_by_itself(two_models: Site) -> None:
    two_models.set_broken(ONE, True)
    # Its health says that all is well: only what becomes of requests shows it, and none of them fails.
    assert {two_models.ask(CHAT, {}).json.get("backend") for _ in range(30)} == {TWO}
    eventually(lambda: two_models.model_servers() == 1)
    two_models.set_broken(ONE, False)
    eventually(lambda: two_models.ask(CHAT, {}).json.get("backend") == ONE)


def test_replicas_that_are_known_serve_on_while_dns_is_away(two_models: Site) -> None:
    dns = two_models.running[0]
    dns.kill()
    dns.wait()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        assert two_models.ask(CHAT, {}).status == 200
        time.sleep(0.2)
    assert two_models.model_servers() == 2


def test_a_key_is_added_and_revoked_without_a_restart(two_models: Site) -> None:
    two_models.write_keys({"third": "a-third-key-for-tests-01234"})
    eventually(lambda: two_models.ask(CHAT, {}).status == 401)
    assert two_models.ask(CHAT, {}, key="a-third-key-for-tests-01234").json["headers"]["x-qwen-client"] == "third"
    assert two_models.gateway.poll() is None


def test_a_stream_outlives_the_key_that_it_began_with(site: Site) -> None:
    site.add_model(ONE, tokens=10, token_delay=0.4)
    eventually(lambda: site.model_servers() == 1)
    with site.stream(timeout_s=60) as response:
        response.readline()
        site.write_keys({"third": "a-third-key-for-tests-01234"})
        eventually(lambda: site.ask(CHAT, {}).status == 401)
        assert b"[DONE]" in response.read()


def test_a_model_is_found_however_deep_the_body_is_nested(site: Site) -> None:
    site.variants.add(TWO)
    site.add_model(ONE)
    site.add_model(TWO)
    eventually(lambda: site.ask(CHAT, {"model": "tiny-second"}).status == 200)
    eventually(lambda: site.ask(CHAT, {"model": "tiny"}).status == 200)
    deep = b"[" * 200 + b'{"model": "tiny"}' + b"]" * 200
    bodies = (
        b'{"tools": ' + deep + b', "model": "tiny-second"}',
        rb'{"messages": "\\", "a": "{\"model\": \"tiny\"", "model" : "tiny-second"}',
        b'{"metadata": {"model": "tiny"},\n"model"\n:\n"tiny-second", "user": "model"}',
    )
    for body in bodies:
        assert site.ask(CHAT, body).json["backend"] == TWO, body
    for body in (b'{"model": "tiny-second", "model": "tiny"}', b'{"model": "tiny\\u002dsecond"}'):
        answer = site.ask(CHAT, body)
        assert (answer.status, answer.json["error"]["code"]) == (400, "unclear_model"), body


def test_a_model_is_described_by_its_name(two_models: Site) -> None:
    assert two_models.ask("/v1/models/tiny-second").json["id"] == "tiny-second"
    unknown = two_models.ask("/v1/models/gpt-4")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")
    assert "tiny, tiny-second" in unknown.json["error"]["message"]
    assert two_models.ask("/v1/models/tiny", key=None).status == 401


def test_the_log_names_request_and_source_in_lines_that_always_parse(two_models: Site) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ask = two_models.ask(CHAT, {}, traceparent=trace)
    two_models.ask("/" + "%22" * 2000, key=None)
    two_models.ask('/"quoted"' * 100, key=None)
    eventually(lambda: len(two_models.requests) >= 3)
    lines = [line for line in two_models.log.read_text().splitlines() if "request_id" in line]
    assert len(lines) == len(two_models.requests)
    logged = {request["request_id"]: request for request in two_models.requests}
    line = logged[ask.headers["x-request-id"]]
    assert (line["source"], line["traceparent"]) == ("127.0.0.1", trace)
    assert ask.json["headers"]["traceparent"] == trace, "the engine gets the client's own"
    assert {request["source"] for request in two_models.requests if request["status"] == 401} == {"127.0.0.1"}


def test_the_memory_limit_holds_when_every_connection_has_a_body_in_flight(site: Site, settings: Any) -> None:
    site.add_model(ONE, delay=30)
    eventually(lambda: site.model_servers() == 1)
    body = b"x" * settings.gateway.max_body_bytes
    clients = [begin(site, body) for _ in range(settings.gateway.max_connections - 16)]
    try:
        time.sleep(3)
        [resident_kib] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{site.gateway.pid}/status").read_text())
        assert int(resident_kib) < gateway_config.memory_mib(settings.gateway) * 1024
    finally:
        for client in clients:
            client.close()
