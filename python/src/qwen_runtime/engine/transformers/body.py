"""Bodies are read up to a size, whatever their headers say, before anything looks into them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from qwen_runtime.engine.transformers import refusals

MAX_BODY_BYTES = 16 << 20
"""Far more than the longest context of any planned model takes as text."""

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class BodyLimit:
    """ASGI middleware that answers 413 to a body above the limit."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None  # the client has gone
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                return await _refuse(send)
            if not message.get("more_body"):
                break
        whole = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        return await self._app(scope, receive_whole, send)


async def _refuse(send: Send) -> None:
    refusal = refusals.too_large(MAX_BODY_BYTES)
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(refusal.body()).encode()})
