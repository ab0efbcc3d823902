"""A stream that is silent for long says that it lives; nothing else of an answer changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from qwen_runtime.engine import keep_alive

SILENCE_S = 0.02
Pause = Callable[[], Awaitable[None]]
EVENTS = [b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n"]


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_alive, "SILENCE_S", SILENCE_S)


def answer(content_type: bytes, *, silent: bool, fails: bool = False) -> list[Any]:
    """Messages that a client gets from a server that may be silent before its second event, and is after its end."""
    sent: list[Any] = []
    enough = asyncio.Event()

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        if silent:
            await asyncio.wait_for(enough.wait(), 20)
        if fails:
            raise RuntimeError("the engine failed")
        await send({"type": "http.response.body", "body": EVENTS[1], "more_body": True})
        await send({"type": "http.response.body", "body": EVENTS[2]})

    async def send(message: Any) -> None:
        sent.append(message)
        if [part.get("body") for part in sent].count(keep_alive.COMMENT) == 3:
            enough.set()

    async def run() -> None:
        try:
            await keep_alive.KeepAlive(server)({"type": "http"}, None, send)
        finally:
            await asyncio.sleep(5 * SILENCE_S)

    if fails:
        with pytest.raises(RuntimeError):
            asyncio.run(run())
    else:
        asyncio.run(run())
    return sent


def bodies(messages: list[Any]) -> list[bytes]:
    return [message["body"] for message in messages if message["type"] == "http.response.body"]


def test_a_silent_stream_gets_comments_between_its_events_and_none_after_its_end() -> None:
    sent = answer(b"text/event-stream; charset=utf-8", silent=True)
    assert bodies(sent) == [EVENTS[0], *[keep_alive.COMMENT] * 3, *EVENTS[1:]]
    assert all(message["more_body"] for message in sent[1:-1]), "only the answer itself ends it"


def test_a_comment_is_one_for_every_reader_of_events() -> None:
    assert keep_alive.COMMENT.startswith(b":")
    assert keep_alive.COMMENT.endswith(b"\n\n")
    assert b"data" not in keep_alive.COMMENT


def test_a_stream_that_speaks_gets_none() -> None:
    assert bodies(answer(b"text/event-stream", silent=False)) == EVENTS


def test_a_stream_that_breaks_gets_none_after_its_break() -> None:
    assert bodies(answer(b"text/event-stream", silent=True, fails=True)) == [EVENTS[0], *[keep_alive.COMMENT] * 3]


def test_an_answer_that_is_no_stream_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "create_task", lambda *_: pytest.fail("a task for an answer that is no stream"))
    assert bodies(answer(b"application/json", silent=False)) == EVENTS
