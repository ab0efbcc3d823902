"""A mirror of files over HTTP, with faults that real ones have shown."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PIECE_BYTES = 64 << 10


@dataclass
class Behaviour:
    """Faults of the server for paths that end with `on`. Each stops after `times` answers."""

    on: str = ".safetensors"
    times: int = 1_000_000
    status: int | None = None
    """Answer with this status and no file."""
    closes_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stalls_after: int | None = None
    """Bytes of the body after which nothing more is sent."""
    drips: bool = False
    """A byte now and then, without end."""
    adds_to_length: int = 0
    """Difference between Content-Length and the true length."""
    chunked: bool = False
    """No Content-Length."""
    ignores_ranges: bool = False
    wrong_range: bool = False
    """Content-Range names other bytes than the requested ones."""
    flips_byte: int | None = None
    """Position of a byte that arrives wrong."""
    redirects_to: str | None = None


@dataclass
class Mirror:
    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of each request."""

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextmanager
def serve(
    directory: Path, behaviour: Behaviour | None = None, gate: Callable[[], bool] = lambda: True
) -> Iterator[Mirror]:
    """Serves the directory's files at /; a path that `gate` refuses is not found."""
    habit = behaviour or Behaviour(times=0)
    ended = threading.Event()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                mirror.requests.append((self.path, self.headers.get("Range", "")))
                bad = habit.times > 0 and self.path.endswith(habit.on)
                habit.times -= bad
            path = directory / unquote(self.path.removeprefix("/"))
            if not gate() or not path.is_file():
                self._end(404)
            elif bad and habit.redirects_to:
                self._end(302, Location=habit.redirects_to)
            elif bad and habit.status:
                self._end(habit.status)
            else:
                self._answer(path.read_bytes(), habit if bad else Behaviour())

        def _end(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _answer(self, data: bytes, bad: Behaviour) -> None:
            if bad.flips_byte is not None:
                at = bad.flips_byte % len(data)
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(wanted[1]) if wanted and not bad.ignores_ranges else 0
            body = data[first:]
            self.send_response(206 if first else 200)
            if first:
                stated = first + 1 if bad.wrong_range else first
                self.send_header("Content-Range", f"bytes {stated}-{len(data) - 1}/{len(data)}")
            if bad.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body) + bad.adds_to_length))
            self.end_headers()
            self._send(body, bad)

        def _send(self, body: bytes, bad: Behaviour) -> None:
            if bad.chunked:
                self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
                return
            if bad.drips:
                for at in range(len(body)):
                    if ended.wait(0.02):
                        return
                    self.wfile.write(body[at : at + 1])
            limits = [limit for limit in (bad.closes_after, bad.stalls_after) if limit is not None]
            whole = body[: min(limits, default=len(body))]
            for at in range(0, len(whole), PIECE_BYTES):
                self.wfile.write(whole[at : at + PIECE_BYTES])
            if bad.stalls_after is not None:
                ended.wait(60)
            if limits:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, *_: object) -> None:
            pass  # the client closed the connection, as it should

    server = Server(("127.0.0.1", 0), Handler)
    Handler.timeout = 5  # type: ignore[assignment]
    mirror = Mirror(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mirror
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
