"""Serves the state over HTTP, on a port of its own: /health/startup, /health/ready, /health/live and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading

from qwen_runtime.serve.health import Health

MOST_CONNECTIONS = 128
"""Most open connections. The next one closes the oldest, so that silent clients keep no probe from its answer."""
PATIENCE_S = 5.0
MAX_REQUEST_BYTES = 16 * 1024
_PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthServer:
    """Answers from one thread of its own, one request on a connection; it never waits for the engine."""

    def __init__(self, health: Health, port: int) -> None:
        self._health = health
        self._socket = socket.create_server(("0.0.0.0", port), backlog=MOST_CONNECTIONS)
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket, limit=MAX_REQUEST_BYTES))
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = None
        if len(self._open) > MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            method, target, _ = request.split(maxsplit=2)
            writer.write(self._answer(method, target.partition(b"?")[0].decode("latin-1")))
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        self._open.pop(writer, None)
        writer.close()

    def _answer(self, method: bytes, path: str) -> bytes:
        kind = "application/json"
        if method != b"GET":
            status, body = 405, json.dumps({"error": "only GET is answered here"})
        elif path == "/metrics":
            status, body, kind = 200, self._health.metrics(), "text/plain; version=0.0.4"
        else:
            status, content = self._health.answer(path)
            body = json.dumps(content)
        head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
        return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
