"""Requests of agents are mended where vLLM would refuse what asks for nothing; nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from qwen_runtime.engine import leniency

USER = {"role": "user", "content": "Hello"}
CHAT = "/v1/chat/completions"


def mend(**fields: Any) -> Any:
    return json.loads(leniency.mend(json.dumps({"messages": [USER], **fields}).encode()))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "tool", "content": None}, {"role": "tool", "content": ""}),
        ({**USER, "name": None}, USER),
    ],
)
def test_what_is_null_and_says_nothing_is_written_as_nothing(message: object, expected: object) -> None:
    assert mend(messages=[message])["messages"] == [expected]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ({}, "{}"),
        ({"arguments": None}, "{}"),
        ({"arguments": {"a": "ü"}}, '{"a": "\\u00fc"}'),
        ({"arguments": "{"}, "{"),
    ],
)
def test_arguments_are_text(function: dict[str, object], expected: str) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", **function}}]}
    [answered] = mend(messages=[message])["messages"]
    assert answered["tool_calls"] == [{"id": "1", "type": "function", "function": {"name": "f", "arguments": expected}}]
    assert answered["content"] is None


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"tools": []}, {}),
        ({"tools": [], "tool_choice": "auto"}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"tools": [TOOL], "tool_choice": None}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": "none"}),
    ],
)
def test_a_choice_that_is_left_to_the_model_is_not_said(fields: dict[str, object], left: dict[str, object]) -> None:
    assert mend(**fields) == {"messages": [USER], **left}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"messages": "hi"}',
        b'{"messages": [null, "x", {"role": "assistant", "content": "", "tool_calls": "x"}]}',
        b'{"messages": [{"role": "assistant", "tool_calls": [null, {"function": "f"}]}], "tool_choice": "required"}',
        b'{ "messages":[{"role":"user","content":null}],"tools":[{}] , "tool_choice":"auto"}',
        b'{"tool_choice": {"type": "function"}}',
    ],
)
def test_all_else_stays_byte_by_byte(body: bytes) -> None:
    assert leniency.mend(body) == body


def asked(path: str, *parts: bytes) -> tuple[Any, list[bytes]]:
    """Headers, and the parts of the body, that the server behind the middleware gets."""
    seen: list[Any] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        while (message := await receive())["type"] == "http.request":
            seen.append(message["body"])

    messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]
    messages.append({"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("the server did not answer")

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"content-length", b"999"), (b"x", b"y")]}
    asyncio.run(leniency.Leniency(server)(scope, receive, send))
    headers, *bodies = seen
    return dict(headers), bodies


def test_the_server_gets_a_mended_body_with_its_length() -> None:
    headers, bodies = asked(CHAT, b'{"tools": [], "x', b'": 1}')
    assert bodies == [b'{"x": 1}']
    assert headers == {b"content-length": b"8", b"x": b"y"}


def test_other_paths_are_not_read() -> None:
    headers, bodies = asked("/v1/completions", b'{"tools"', b": []}")
    assert bodies == [b'{"tools"', b": []}"]
    assert headers[b"content-length"] == b"999"
