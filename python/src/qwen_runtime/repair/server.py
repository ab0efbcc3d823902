"""Port of the controller for Prometheus and for probes."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qwen_runtime.repair.controller import Controller

# A pass asks a few servers, each with a timeout: a loop that is silent for longer hangs.
HANGS_AFTER_S = 300


def run(controller: Controller, host: str, port: int) -> None:
    """Serves until the process ends."""
    server = ThreadingHTTPServer((host, port), _handler(controller))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    controller.run()


def _handler(controller: Controller) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            silent_s = time.monotonic() - controller.tried_s
            bodies = {"/metrics": (200, controller.figures.text()), "/health": (200, "ok\n")}
            if silent_s > HANGS_AFTER_S:
                bodies["/health"] = (503, f"no pass for {silent_s:.0f} s\n")
            status, text = bodies.get(self.path, (404, ""))
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            """Scrapes and probes are not logged."""

    return Handler
