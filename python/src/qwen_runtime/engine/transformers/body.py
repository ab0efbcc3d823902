"""Bodies are read up to a size, whatever their headers say, before anything looks into them."""

from __future__ import annotations

import json

from qwen_runtime.engine.asgi import App, Message, Receive, Send, TooLarge, handing_on, read_body
from qwen_runtime.engine.transformers import refusals

MAX_BODY_BYTES = 16 << 20
"""Far more than the longest context of any planned model takes as text."""


class BodyLimit:
    """ASGI middleware that answers 413 to a body above the limit."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(receive, MAX_BODY_BYTES)
        except TooLarge:
            await _refuse(send)
            return
        if body is not None:
            await self._app(scope, handing_on(body, receive), send)


async def _refuse(send: Send) -> None:
    refusal = refusals.too_large(MAX_BODY_BYTES)
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(refusal.body()).encode()})
