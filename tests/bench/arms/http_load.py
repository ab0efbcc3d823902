"""Clients that ask one address again and again, and count what they get."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

SECONDS_TO_END = 30
BEGIN, END = b"data: {", b"[DONE]"


@dataclass
class Counts:
    """Seconds of each answered request, and the time that all of them took together."""

    times_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    events: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.times_s + other.times_s, self.wall_s + other.wall_s, self.events + other.events)


def request(body: bytes, **headers: str) -> bytes:
    lines = {"Host": "gateway", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + b"\r\n" + body


class Asker(asyncio.Protocol):
    """One connection that sends its request again as soon as it has the answer, until the deadline."""

    def __init__(self, request: bytes, deadline: float, counts: Counts) -> None:
        self.request, self.deadline, self.counts = request, deadline, counts
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received, self.begun = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.received, self.begun = b"", time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(None, 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        assert head.startswith(b"HTTP/1.1 200"), self.received
        self.counts.times_s.append(now - self.begun)
        if now < self.deadline:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Reader(asyncio.Protocol):
    """One stream of events, counted until it ends."""

    def __init__(self, request: bytes, counts: Counts) -> None:
        self.request, self.counts = request, counts
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count what each event begins with, also where it arrives in two parts."""
        data = self.rest + data
        self.rest = data[-len(BEGIN) + 1 :]
        self.counts.events += data.count(BEGIN)
        if END in data:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _ask(port: int, text: bytes, connections: int, seconds: float) -> Counts:
    counts, loop, begun = Counts(), asyncio.get_running_loop(), time.perf_counter()
    askers = [
        (await loop.create_connection(lambda: Asker(text, begun + seconds, counts), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(asker.ended for asker in askers)), seconds + SECONDS_TO_END)
    counts.wall_s = time.perf_counter() - begun
    return counts


async def _read(port: int, text: bytes, streams: int, seconds: float) -> Counts:
    counts, loop, begun = Counts(), asyncio.get_running_loop(), time.perf_counter()
    readers = [
        (await loop.create_connection(lambda: Reader(text, counts), "127.0.0.1", port))[1] for _ in range(streams)
    ]
    await asyncio.wait_for(asyncio.gather(*(reader.ended for reader in readers)), seconds + SECONDS_TO_END)
    counts.wall_s = time.perf_counter() - begun
    return counts


def ask(port: int, body: bytes, connections: int, seconds: float, **headers: str) -> Counts:
    """Answers that some connections get in that time, each of which waits for an answer before it asks again."""
    return asyncio.run(_ask(port, request(body, **headers), connections, seconds))


def read(port: int, body: bytes, streams: int, events: int, pause_ms: int, **headers: str) -> Counts:
    """Events that reach the clients of so many streams."""
    text = request(body, x_events=f"{events}/{pause_ms}", **headers)
    return asyncio.run(_read(port, text, streams, events * pause_ms / 1000))
