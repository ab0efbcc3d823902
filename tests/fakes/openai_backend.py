"""A stand-in for one serving pod: the engine's API and the supervisor's health. Standard library only.

`python openai_backend.py --address A --port P --health-port H --keys FILE [--delay S] [--tokens N]
[--token-delay S] [--token-bytes B]`
FILE has the SHA-256 of each key; a POST must have one of them. It is answered with this address and what was received.
A body with `"stream": true` gets N tokens as server-sent events, one every token-delay, and its usage where it asks for
it; one with `"refuse": true` gets a 400; one with `"poison": true` ends the process.
On the health port, `POST /fake/ready?0|1` sets readiness, and `POST /fake/broken?0|1` lets the API end connections
without an answer. `GET /fake/left` counts the clients that left before their answer,
`GET /fake/asked` the POSTs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
# The same in /v1/responses, whose streams always end with it.
RESPONSES_USAGE = {"input_tokens": 100, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 60}}


class Health(BaseHTTPRequestHandler):
    ready: ClassVar[bool] = True

    def do_GET(self) -> None:
        counts = {"/fake/left": Api.left, "/fake/asked": Api.asked}
        body = str(counts[self.path]).encode() if self.path in counts else b""
        self.send_response(200 if Health.ready or body else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        value = self.path.endswith("1")
        if "broken" in self.path:
            Api.broken = value
        else:
            Health.ready = value
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options: ClassVar[argparse.Namespace]
    broken: ClassVar[bool] = False
    left: ClassVar[int] = 0
    asked: ClassVar[int] = 0

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [], "backend": self.options.address})

    def do_POST(self) -> None:
        Api.asked += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        digest = hashlib.sha256(self.headers.get("Authorization", "").removeprefix("Bearer ").encode()).hexdigest()
        if digest not in self.options.keys.read_text().split():
            self._json({"error": {"message": "no key"}}, 401)
            return
        if b'"poison": true' in body:
            os._exit(1)
        if Api.broken:
            self.close_connection = True
            return
        if b'"stream": true' in body:
            self._stream(b'"include_usage":true' in body.replace(b" ", b""))
            return
        if self._client_leaves_within(self.options.delay):
            Api.left += 1
            self.close_connection = True
            return
        if b'"refuse": true' in body:
            self._json({"error": {"message": "refused"}}, 400)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = {"headers": headers, "body_bytes": len(body), "model": model_in(body)}
        self._json({"backend": self.options.address, **received, "usage": self._usage()})

    def _usage(self) -> dict[str, object]:
        return RESPONSES_USAGE if self.path == "/v1/responses" else USAGE

    def _stream(self, include_usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(self.options.tokens):
            event = {
                "choices": [{"delta": {"content": f"{number} ".ljust(self.options.token_bytes)}}],
                "sent_s": time.time(),
            }
            self._event(json.dumps(event))
            time.sleep(self.options.token_delay)
        if self.path == "/v1/responses":
            last = {"type": "response.completed", "response": {"usage": RESPONSES_USAGE}}
            self._event(json.dumps(last))
        elif include_usage:
            last = {"choices": [], "usage": {**USAGE, "completion_tokens": self.options.tokens}}
            self._event(json.dumps(last))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _event(self, text: str) -> None:
        """One event in a chunk of its own, as uvicorn writes it: a stream that ends without the last chunk is cut."""
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _client_leaves_within(self, seconds: float) -> bool:
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _json(self, answer: dict[str, object], status: int = 200) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        if "Origin" in self.headers:  # as vLLM does
            self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None: ...


def model_in(body: bytes) -> object:
    """The model that a body names, if it is an object of JSON."""
    try:
        read = json.loads(body)
    except ValueError:
        return None
    return read.get("model") if isinstance(read, dict) else None


class Server(ThreadingHTTPServer):
    # As uvicorn listens. Python's five drop connections that come at once, which Envoy then gives up.
    request_queue_size = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--health-port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--token-delay", type=float, default=0.3)
    parser.add_argument("--token-bytes", type=int, default=0)
    Api.options = parser.parse_args()
    health = ThreadingHTTPServer((Api.options.address, Api.options.health_port), Health)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    Server((Api.options.address, Api.options.port), Api).serve_forever()


if __name__ == "__main__":
    main()
