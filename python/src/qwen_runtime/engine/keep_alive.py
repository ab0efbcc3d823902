"""Comments in silent streams, which say that the answer is still being computed.

A long prompt, or a place in a long queue, keeps a stream silent until its first token. Clients and proxies give up on a
silent connection: Node's fetch after 300 s (undici's bodyTimeout), many proxies after 60 s. A line that begins with a
colon is a comment, which every reader of server-sent events leaves out (HTML Living Standard, 9.2.6). vLLM 0.32 has
--sse-keep-alive-interval, but not for /v1/responses and /v1/messages, by which Codex and Claude Code ask.
"""

from __future__ import annotations

import asyncio
import time

from qwen_runtime.engine.asgi import App, Message, Receive, Send

MIDDLEWARE = f"{__name__}.KeepAlive"
SILENCE_S = 15.0
"""Longest silence of a stream, in seconds."""
COMMENT = b": still computing\n\n"


class KeepAlive:
    """ASGI middleware that writes a comment into each stream that is silent for too long."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            answer.end()


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = asyncio.Lock()  # a message is handed on whole before the next one
        self._spoke_at = time.monotonic()
        self._comments: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.end()
        await self._hand_on(message)
        if message["type"] == "http.response.start" and _streams(message):
            self._comments = asyncio.create_task(self._comment())

    def end(self) -> None:
        if self._comments:
            self._comments.cancel()

    async def _hand_on(self, message: Message) -> None:
        async with self._turn:
            await self._send(message)
        self._spoke_at = time.monotonic()

    async def _comment(self) -> None:
        while True:
            left_s = self._spoke_at + SILENCE_S - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            try:
                await self._hand_on({"type": "http.response.body", "body": COMMENT, "more_body": True})
            except OSError:
                return  # the client has gone, which the engine hears by itself


def _streams(start: Message) -> bool:
    headers = dict(start.get("headers", ()))
    return bytes(headers.get(b"content-type", b"")).startswith(b"text/event-stream")
