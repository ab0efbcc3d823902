"""A stand-in for an engine that costs little itself, so that what stands before it is measured. Standard library only.

`python fast_engine.py PORT` listens on every address of this machine, so that one process is several replicas. Each
request with a whole body gets a short answer with the number of bytes in it. The header `x-events: COUNT/MILLISECONDS`
asks for so many server-sent events, one each time; the last one ends the connection. `python fast_engine.py PORT SLOTS`
runs so many streams at once, the others wait in order of arrival, and the first event takes as long as the next ones.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from typing import ClassVar

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
EVENTS = re.compile(rb"\r\nx-events: *(\d+)/(\d+)", re.IGNORECASE)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n'


class Engine(asyncio.Protocol):
    transport: asyncio.Transport
    slots: ClassVar[int] = 0
    running: ClassVar[int] = 0
    waiting: ClassVar[deque[tuple[Engine, int, float]]] = deque()

    def __init__(self) -> None:
        self.head, self.length, self.missing = b"", 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self.head, 0, end)
            self.length = int(length[1]) if length else 0
            self.missing = self.length - (len(self.head) - end - 4)
            self.head = self.head[:end]
        else:
            self.missing -= len(data)
        if not self.missing:
            self._answer()

    def _answer(self) -> None:
        events, self.head = EVENTS.search(self.head), b""
        if events:
            self.transport.write(STREAM)
            Engine.waiting.append((self, int(events[1]), int(events[2]) / 1000))
            Engine.start()
            return
        body = b'{"object":"chat.completion","bytes":%d}' % self.length
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)

    @classmethod
    def start(cls) -> None:
        while cls.waiting and (not cls.slots or cls.running < cls.slots):
            engine, count, pause_s = cls.waiting.popleft()
            cls.running += 1
            asyncio.get_running_loop().call_later(pause_s if cls.slots else 0, engine._stream, count, pause_s)

    def _stream(self, count: int, pause_s: float) -> None:
        if self.transport.is_closing():
            self._end()
            return
        self.transport.write(EVENT if count else b"data: [DONE]\n\n")
        if count:
            asyncio.get_running_loop().call_later(pause_s, self._stream, count - 1, pause_s)
        else:
            self.transport.close()
            self._end()

    def _end(self) -> None:
        Engine.running -= 1
        Engine.start()


async def main() -> None:
    Engine.slots = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = await asyncio.get_running_loop().create_server(Engine, "0.0.0.0", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
