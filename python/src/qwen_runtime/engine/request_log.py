"""A line in the log for each request that an engine answers, with the id that the gateway gave it.

The gateway's own line has the same id. No line has a word of a prompt or of an answer.
"""

from __future__ import annotations

import json
import os
import re
import time

from qwen_runtime.engine import door
from qwen_runtime.engine.asgi import App, Message, Receive, Send

MIDDLEWARE = f"{__name__}.RequestLog"
BEGIN = '{"event": "request", '
"""Beginning of such a line, by which the supervisor's log knows it."""
STDOUT = 1
LONGEST_PATH = 256
# Headers that are logged, each only where it has the form that it must have: clients choose the second one.
HEADERS = {
    "request_id": (b"x-request-id", re.compile(rb"[0-9A-Za-z-]{1,64}")),
    "traceparent": (b"traceparent", re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")),
}


class RequestLog:
    """ASGI middleware that writes a line when an answer has ended, however it ended."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in door.OPEN:
            await self._app(scope, receive, send)
            return
        begun_s, status = time.monotonic(), 0

        async def hear(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, hear)
        finally:
            write(scope, status, time.monotonic() - begun_s)


def write(scope: Message, status: int, seconds: float) -> None:
    """Writes the line at once and past Python's own files, to which vLLM adds words. Status 0 is no answer at all."""
    sent = dict(scope["headers"])
    named = {field: sent.get(header, b"") for field, (header, _) in HEADERS.items()}
    entry = {
        "event": "request",
        **{field: value.decode() for field, value in named.items() if HEADERS[field][1].fullmatch(value)},
        "method": scope["method"],
        "path": scope["path"][:LONGEST_PATH],
        "status": status,
        "total_ms": round(seconds * 1000),
    }
    os.write(STDOUT, json.dumps(entry).encode() + b"\n")
