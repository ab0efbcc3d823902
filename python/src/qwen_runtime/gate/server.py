"""The history behind a port: Prometheus reads its metrics, and measurements that ended elsewhere are added to it.

It asks nobody who they are: the network policies of the stack decide who may connect.
"""

from __future__ import annotations

import io
import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from qwen_runtime.compare import results
from qwen_runtime.errors import UsageError
from qwen_runtime.gate import exposition, history
from qwen_runtime.gate.history import History

MOST_BYTES = 64 << 20
"""A result of ten thousand requests is below 4 MiB."""
TEXT, CSV = "text/plain; version=0.0.4; charset=utf-8", "text/csv; charset=utf-8"


def run(file: Path, host: str, port: int) -> None:
    """Serve until SIGTERM, whose default action ends the process: SQLite keeps what was committed."""
    ThreadingHTTPServer((host, port), handler(file)).serve_forever()


def handler(file: Path) -> type[BaseHTTPRequestHandler]:
    """The handler of requests about one history. UsageError where the file is something else."""
    History(file).close()
    started = time.time()

    class OfFile(_Handler):
        path_of_history, started_s = file, started

    return OfFile


class _Handler(BaseHTTPRequestHandler):
    path_of_history: Path
    started_s: float
    timeout = 30

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(HTTPStatus.OK, "ready\n", TEXT)
        elif self.path == "/metrics":
            self._answer(HTTPStatus.OK, self._metrics(), TEXT)
        elif self.path == "/history.csv":
            text = io.StringIO()
            history.write_csv(self._with(History.figures), text)
            self._answer(HTTPStatus.OK, text.getvalue(), CSV)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "/metrics, /history.csv or POST /results\n", TEXT)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/results" or not length.isdecimal() or int(length) > MOST_BYTES:
            self._answer(HTTPStatus.BAD_REQUEST, f"POST /results with at most {MOST_BYTES} bytes\n", TEXT)
            return
        try:
            document = results.parse(self.rfile.read(int(length)), "the body", *results.KINDS)
        except UsageError as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n", TEXT)
            return
        added = self._with(lambda opened: opened.add(document))
        self._answer(HTTPStatus.CREATED if added else HTTPStatus.OK, json.dumps({"added": added}) + "\n", TEXT)

    def _metrics(self) -> str:
        figures = self._with(History.figures)
        return exposition.metrics(figures) + exposition.newest(figures, self.started_s)

    def _with(self, action: Any) -> Any:
        """Result of an action on the history, which each thread opens for itself."""
        opened = History(self.path_of_history)
        try:
            return action(opened)
        finally:
            opened.close()

    def _answer(self, status: HTTPStatus, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log what was added, and no scrape."""
        if self.command == "POST":
            super().log_message(format, *args)
