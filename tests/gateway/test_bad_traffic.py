"""The gateway under traffic that harms, or is meant to: what it costs is bounded, and other tenants are served."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .site import CHAT, KEY, ONE, THREE, TWO, Site, eventually, needs_envoy

pytestmark = needs_envoy
SECOND = KEY[::-1]
HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
# A second request without a key, hidden in what may be taken for the body of the first.
HIDDEN = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
CHUNKED = "Transfer-Encoding: chunked\r\n"
REFUSED = {
    "length and chunks": f"Content-Length: 5\r\n{CHUNKED}\r\n0\r\n\r\n",
    "chunks and length": f"{CHUNKED}Content-Length: {len(HIDDEN)}\r\n\r\n",
    "two lengths": f"Content-Length: 2\r\nContent-Length: {len(HIDDEN) + 2}\r\n\r\n{{}}",
    "a list of lengths": f"Content-Length: 2, {len(HIDDEN) + 2}\r\n\r\n{{}}",
    "a signed length": "Content-Length: +2\r\n\r\n{}",
    "another coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding in two lines": f"{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": "Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a wrong chunk": f"{CHUNKED}\r\n0x2\r\n{{}}\r\n0\r\n\r\n",
}
# The gateway reads these as one header X-A, and hands that on in one line.
PLAIN = {
    "a folded header": f"X-A: b\r\n {CHUNKED}Content-Length: 2\r\n\r\n{{}}",
    "a bare carriage return": f"X-A: b\r{CHUNKED}Content-Length: 2\r\n\r\n{{}}",
}


@pytest.fixture
def one_model(site: Site) -> Site:
    site.add_model(ONE, tokens=20, token_delay=0.2)
    eventually(lambda: site.model_servers() == 1)
    return site


@contextlib.contextmanager
def clients(site: Site, number: int, opening: bytes = b"") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_connected(site, opening)) for _ in range(number)]


def _connected(site: Site, opening: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", site.api_port), timeout=30)
    client.sendall(opening)
    return client


def resident_kib(site: Site) -> int:
    [found] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{site.gateway.pid}/status").read_text())
    return int(found)


def answers_to(site: Site, request: bytes) -> bytes:
    """All that comes back on one connection within two seconds."""
    received = b""
    with _connected(site, request) as client, contextlib.suppress(TimeoutError, ConnectionError):
        client.settimeout(2)
        while part := client.recv(65536):
            received += part
    return received


def error_in(received: bytes) -> dict[str, str]:
    return json.loads(received.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize("how", REFUSED)
def test_a_request_that_could_be_read_in_two_ways_is_refused(one_model: Site, how: str) -> None:
    before = one_model.asked(ONE)
    received = answers_to(one_model, f"{HEAD}{REFUSED[how]}{HIDDEN}".encode())
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1
    assert error_in(received)["type"] == "invalid_request_error"
    assert one_model.asked(ONE) == before


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        ("hello", "", 400),
        ("GET /v1/models HTTP/1.1", "A header: x", 400),
        ("FETCH /v1/models HTTP/1.1", "Host: x", 400),
        ("GET /v1/models HTTP/1.1", "", 400),
        ("GET /v1/models HTTP/1.0", "Host: x", 426),
        ("GET /v1/models HTTP/1.1", "Host: x\r\nConnection: upgrade\r\nUpgrade: websocket", 403),
        ("GET /v1/models HTTP/1.1", "Host: x\r\n" + "\r\n".join(f"X-{number}: x" for number in range(101)), 400),
    ],
)
def test_what_is_no_request_is_refused_in_the_shape_of_openai(
    site: Site, request_line: str, header: str, status: int
) -> None:
    received = answers_to(site, f"{request_line}\r\n{header}\r\n\r\n".encode())
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert error_in(received)["message"].startswith("The request ")


@pytest.mark.parametrize("how", PLAIN)
def test_gateway_and_engine_see_the_same_requests(one_model: Site, how: str) -> None:
    before = one_model.asked(ONE)
    received = answers_to(one_model, f"{HEAD}{PLAIN[how]}{HIDDEN}".encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"200", b"401"]
    assert b'"transfer-encoding"' not in received.lower()
    assert one_model.asked(ONE) == before + 1


def test_clients_that_send_byte_by_byte_are_cut_while_others_are_served(one_model: Site) -> None:
    with clients(one_model, 50, b"POST / HTTP/1.1\r\nX-Slow: ") as slow:
        for _ in range(8):
            for client in slow:
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"x")
            assert one_model.ask(CHAT, {}, key=SECOND).status == 200
            time.sleep(0.5)
        received = [client.recv(65536) for client in slow]
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in received)


def test_a_client_that_reads_nothing_holds_no_more_than_a_buffer(site: Site, settings: Any) -> None:
    site.add_model(ONE, tokens=4000, token_delay=0, token_bytes=16_384)
    eventually(lambda: site.model_servers() == 1)
    body = b'{"stream": true}'
    opening = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
    before = resident_kib(site)
    with clients(site, 4, opening):
        time.sleep(4)
        assert site.ask(CHAT, {}, key=SECOND).status == 200
        assert resident_kib(site) - before < 4 * 3 * settings.gateway.max_body_bytes / 1024


def test_connections_that_are_half_closed_free_gateway_and_engine(site: Site) -> None:
    site.add_model(ONE, delay=20)
    eventually(lambda: site.model_servers() == 1)
    with clients(site, 20, f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()) as halves:
        eventually(lambda: site.asked(ONE) == 20)
        for client in halves:
            client.shutdown(socket.SHUT_WR)
        eventually(lambda: site.left(ONE) == 20)


def test_a_thousand_idle_connections_harm_nobody_who_is_connected(one_model: Site) -> None:
    tenant = http.client.HTTPConnection("127.0.0.1", one_model.api_port, timeout=10)
    tenant.connect()
    with contextlib.closing(tenant), clients(one_model, 1000):
        for _ in range(5):
            tenant.request("POST", CHAT, b"{}", {"Authorization": f"Bearer {SECOND}"})
            answer = tenant.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
    eventually(lambda: one_model.ask("/v1/models").status == 200)


def test_a_storm_of_failures_is_not_multiplied(site: Site) -> None:
    """Each request is sent twice at most, however many fail at once. The engines are asked again once they answer."""
    requests, replicas = 200, (ONE, TWO, THREE)
    for address in replicas:
        site.add_model(address)
    eventually(lambda: site.model_servers() == 3)
    for address in replicas:
        site.set_broken(address, True)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: site.ask(CHAT, {}).status, range(requests)))
    assert set(statuses) <= {502, 503}
    assert sum(map(site.asked, replicas)) <= 2 * requests
    for address in replicas:
        site.set_broken(address, False)
    eventually(lambda: site.ask(CHAT, {}).status == 200)


def test_a_key_that_is_revoked_in_a_stream_ends_no_stream_of_another_key(one_model: Site) -> None:
    with contextlib.ExitStack() as stack:
        streams = []
        for key in (KEY, SECOND):
            connection = http.client.HTTPConnection("127.0.0.1", one_model.api_port, timeout=60)
            stack.enter_context(contextlib.closing(connection))
            connection.request("POST", CHAT, json.dumps({"stream": True}), {"Authorization": f"Bearer {key}"})
            streams.append(connection.getresponse())
            streams[-1].readline()
        one_model.write_keys({"second": SECOND})
        eventually(lambda: one_model.ask(CHAT, {}).status == 401)
        assert one_model.ask(CHAT, {}, key=SECOND).status == 200
        # What had begun ends as it would have: a stream is one answer, and is as long as its max_tokens.
        assert [b"[DONE]" in stream.read() for stream in streams] == [True, True]
