"""Types of ASGI, by which a server and its middleware talk, and the reading of a whole body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class TooLarge(Exception):
    """A body above the limit."""


async def read_body(receive: Receive, limit_bytes: float = float("inf")) -> bytes | None:
    """The whole body; None where the client has gone. Raises TooLarge as soon as the limit is passed."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit_bytes:
            raise TooLarge
        if not message.get("more_body"):
            return b"".join(parts)


def handing_on(body: bytes, receive: Receive) -> Receive:
    """Hands the body on in one message, and then what comes after it."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_whole() -> Message:
        return whole.pop() if whole else await receive()

    return receive_whole
