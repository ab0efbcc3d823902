"""Small web servers on this machine, each in a thread of the test."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler], address: str = "127.0.0.1") -> Iterator[int]:
    """Port on which the handler answers until the block ends."""
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Handler that writes no log."""

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""


class Refused(Exception):
    """Raised by what takes documents, so that their sender gets a 503."""


@contextmanager
def webhook(take: Callable[[Any], None], address: str = "127.0.0.1") -> Iterator[int]:
    """Port of a webhook that hands each JSON document that it is sent to `take`."""

    class Handler(Quiet):
        def do_POST(self) -> None:
            body, status = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), 200
            try:
                take(body)
            except Refused:
                status = 503
            self.send_response(status)
            self.end_headers()

    with served(Handler, address) as port:
        yield port
