"""The limiter's two ports: one for the questions of gateways and for Prometheus, one for the ends of requests.

Envoy alone asks here. Its requests have no body, and each connection has one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
import time
from http import HTTPStatus
from pathlib import Path

from qwen_runtime.limits.forward import Messages, Unreadable
from qwen_runtime.limits.limiter import Answer, Limiter

MOST_HEAD_BYTES = 16_384
TICK_S = 0.25
RESOLVE_S = 2.0


def run(file: Path, host: str, port: int, ends_port: int) -> None:
    """Serves until SIGTERM. The streams of the gateways go on without it."""
    # Each request that waits holds a connection.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(Limiter(file, time.monotonic, _report), host, port, ends_port))


async def _serve(limiter: Limiter, host: str, port: int, ends_port: int) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    questions = await loop.create_server(lambda: Questions(limiter), host, port)
    ends = await loop.create_server(lambda: Ends(limiter), host, ends_port)
    tasks = [asyncio.create_task(task) for task in (_tick(limiter), _count_replicas(limiter))]
    await stopped.wait()
    for task in tasks:
        task.cancel()
    questions.close()
    ends.close()


async def _tick(limiter: Limiter) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        limiter.tick()


async def _count_replicas(limiter: Limiter) -> None:
    """Keeps the number of ready replicas: the addresses of their name. While DNS does not answer, it stays."""
    loop = asyncio.get_running_loop()
    while True:
        for model, host in limiter.hosts.items():
            with contextlib.suppress(OSError):
                found = await loop.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
                limiter.ready(model, len({address for *_, address in found}))
        await asyncio.sleep(RESOLVE_S)


class Questions(asyncio.Protocol):
    """One connection of a gateway, a probe or Prometheus."""

    transport: asyncio.Transport

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._bytes = b""
        self._waits: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._waits:
            self._limiter.left(self._waits)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while b"\r\n\r\n" in self._bytes:
            head, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
            self._answer(head)
        if len(self._bytes) > MOST_HEAD_BYTES:
            self.transport.abort()

    def _answer(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if method != "GET" or headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            self._reply(Answer(405, {"connection": "close"}))
            self.transport.close()
            return
        path = rest.partition(" ")[0].partition("?")[0]
        if path == "/ask":
            self._waits = self._limiter.ask(headers, self._reply)
        else:
            self._reply(self._choose(path, headers))

    def _reply(self, answer: Answer) -> None:
        self._waits = None
        self.transport.write(written(answer))

    def _choose(self, path: str, headers: dict[str, str]) -> Answer:
        if path == "/metrics":
            return Answer(200, {"content-type": "text/plain; version=0.0.4"}, self._limiter.metrics().encode())
        if path == "/health":
            if "x-gateway" in headers:
                self._limiter.heard(headers["x-gateway"])
            return Answer(200, {})
        return Answer(404, {})


class Ends(asyncio.Protocol):
    """One connection over which a thread of a gateway tells which requests have ended."""

    transport: asyncio.BaseTransport

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._messages = Messages()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for record in self._messages.feed(data):
                self._limiter.ended(record)
        except Unreadable as problem:
            _report(f"closed a connection of a gateway's log: {problem}")
            self.transport.close()


def written(answer: Answer) -> bytes:
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\ncontent-length: {len(answer.body)}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return (head + lines + "\r\n").encode("latin-1") + answer.body


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
