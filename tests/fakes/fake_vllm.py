"""A stand-in for vLLM's server: the paths, counters and signals that the supervisor uses.

Run as `... serve MODEL_DIR --served-model-name NAME --port PORT [...]`; unknown flags are taken as vLLM's. Its own:
--fake-exit CODE (ends at once), --fake-words FILE (logs that first), --fake-wait FILE (listens once that is there),
--fake-silent (never listens), --fake-deaf (ignores SIGTERM), --fake-orphan FILE (starts a process in a session of its
own and writes its id there), --fake-compile (compiles a graph unless its cache has one, and says which),
--fake-allergic (ends at once where its cache has a graph). Requests below /v1 are answered with nothing; the first one
with logprobs compiles, and writes that into the cache. --fake-unwell (answers those with 503), --fake-frail (dies at
them), --fake-slow SECONDS (takes so long for each).
GET /stream?seconds=S answers line by line; POST /die ends it as a crash does; POST /health?status=N changes what
/health answers; POST /hang stops all tokens; POST /finish ends every stream as if its answer were complete; POST /mute
lets it accept questions and answer none. With --headless it has no server, as the ranks of vLLM that only compute.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Server(ThreadingHTTPServer):
    daemon_threads = True
    name = ""
    running = 0
    tokens = 0
    hangs = False
    mute = threading.Event()
    finished = False
    health_status = 200
    completion_status = 200
    frail = False
    slow_s = 0.0
    lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        while self.server.mute.is_set():
            time.sleep(0.05)
        if url.path == "/health":
            self._answer(self.server.health_status, b"")
        elif url.path == "/v1/models":
            self._answer(200, json.dumps({"object": "list", "data": [{"id": self.server.name}]}).encode())
        elif url.path == "/metrics":
            labels = f'{{engine="0",model_name="{self.server.name}"}}'
            running = f"vllm:num_requests_running{labels} {float(self.server.running)}\n"
            waiting = f"vllm:num_requests_waiting{labels} 0.0\n"
            tokens = f"vllm:iteration_tokens_total_sum{labels} {float(self.server.tokens)}\n"
            self._answer(200, (running + waiting + tokens).encode())
        elif url.path == "/stream":
            self._stream(float(parse_qs(url.query)["seconds"][0]))
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/die" or (self.server.frail and url.path.startswith("/v1/")):
            os.kill(os.getpid(), signal.SIGKILL)
        if url.path == "/hang":
            self.server.hangs = True
        elif url.path == "/finish":
            self.server.finished = True
        elif url.path == "/mute":
            self.server.mute.set()
        elif url.path.startswith("/v1/"):
            self._complete()
            return
        else:
            self.server.health_status = int(parse_qs(url.query)["status"][0])
        self._answer(200, b"")

    def _complete(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.server.slow_s)
        if "logprobs" in body and "XDG_CACHE_HOME" in os.environ:
            ranks = Path(os.environ["XDG_CACHE_HOME"], "vllm/ranks")
            ranks.parent.mkdir(parents=True, exist_ok=True)
            ranks.write_text("compiled")
        self._answer(self.server.completion_status, b"")

    def _stream(self, seconds: float) -> None:
        with self.server.lock:
            self.server.running += 1
        try:
            self.send_response(200)
            self.end_headers()
            end = time.monotonic() + seconds
            while time.monotonic() < end and not self.server.finished:
                if not self.server.hangs:
                    self.wfile.write(b"token\n")
                    self.server.tokens += 1
                time.sleep(0.05)
            self.wfile.write(b"done\n")
        finally:
            with self.server.lock:
                self.server.running -= 1

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def use_graph(graph: Path, allergic: bool) -> None:
    if graph.exists():
        print(f"graph found: {graph.read_text()}", flush=True)
        if allergic:
            sys.exit(1)
        return
    graph.parent.mkdir(parents=True)
    graph.write_text("compiled")
    print("graph made", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--fake-exit", type=int)
    parser.add_argument("--fake-words", type=Path)
    parser.add_argument("--fake-wait", type=Path)
    parser.add_argument("--fake-silent", action="store_true")
    parser.add_argument("--fake-deaf", action="store_true")
    parser.add_argument("--fake-orphan", type=Path)
    parser.add_argument("--fake-compile", action="store_true")
    parser.add_argument("--fake-allergic", action="store_true")
    parser.add_argument("--fake-unwell", action="store_true")
    parser.add_argument("--fake-frail", action="store_true")
    parser.add_argument("--fake-slow", type=float, default=0.0)
    options, _ = parser.parse_known_args()
    print(f"fake engine with {' '.join(sys.argv[1:])}", flush=True)
    if options.fake_words:
        print(options.fake_words.read_text(), flush=True)
    if options.fake_compile:
        use_graph(Path(os.environ["XDG_CACHE_HOME"], "vllm/graph"), options.fake_allergic)
    if options.fake_exit is not None:
        sys.exit(options.fake_exit)
    if options.fake_orphan:
        orphan = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        options.fake_orphan.write_text(str(orphan.pid))
    while options.fake_wait and not options.fake_wait.exists():
        time.sleep(0.02)
    if options.fake_silent or options.headless:
        signal.pause()
    server = Server(("127.0.0.1", options.port), Handler)
    server.name, server.frail, server.slow_s = options.served_model_name, options.fake_frail, options.fake_slow
    server.completion_status = 503 if options.fake_unwell else 200

    def stop(number: int, frame: object) -> None:
        if not options.fake_deaf:
            os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever()


if __name__ == "__main__":
    main()
