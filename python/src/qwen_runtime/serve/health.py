"""State of the server, told over HTTP on a port of its own: /health/startup, /health/ready, /health/live."""

from __future__ import annotations

import enum
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class State(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STALLED = "stalled"
    DEAD = "dead"


PASSING = {  # the states in which each answers 200
    "/health/startup": {State.READY, State.DRAINING},
    "/health/ready": {State.READY},
    "/health/live": {State.STARTING, State.READY, State.DRAINING},
}


_ORDER = list(State)


class Health:
    """The current state and why. States only move forward: a late answer of the engine does not undo a SIGTERM."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.state = State.STARTING
        self.reason = "the engine has not answered yet"
        self.obstacle: str | None = self.reason
        """Why a server that is up can't answer right now; ready needs this to be None."""

    def move(self, state: State, reason: str) -> bool:
        """False where the state is not ahead of the current one; then nothing changes."""
        with self._lock:
            if _ORDER.index(state) <= _ORDER.index(self.state):
                return False
            self.state, self.reason = state, reason
            if state is State.READY:
                self.obstacle = None
            return True

    def note(self, obstacle: str | None) -> bool:
        """What the engine's latest answer said; True where that is news about a server that was up."""
        with self._lock:
            news = self.state is State.READY and obstacle != self.obstacle
            self.obstacle = obstacle
            return news

    def answer(self, path: str) -> tuple[int, dict[str, str]]:
        with self._lock:
            state, reason, obstacle = self.state, self.reason, self.obstacle
        if path not in PASSING:
            return 404, {"error": f"{path} is not one of {', '.join(PASSING)}"}
        passing = state in PASSING[path]
        if state in (State.STARTING, State.READY) and obstacle:
            reason = obstacle
            passing = passing and path != "/health/ready"
        return 200 if passing else 503, {"state": state.value, "reason": reason}


class HealthServer:
    """Answers probes from a thread of its own; it never waits for the engine."""

    def __init__(self, health: Health, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # seconds; a client that connects and sends nothing is dropped

            def do_GET(self) -> None:
                status, content = health.answer(self.path.partition("?")[0])
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes come every few seconds; they would drown the engine's log."""

        self._server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
