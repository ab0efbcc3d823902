"""Answers with tool calls, whole or put together from a stream. Nothing is repaired: a wrong form is a fault."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(slots=True)
class Call:
    name: str = ""
    arguments: str = ""
    identity: str = ""


@dataclass(slots=True)
class Answer:
    status: int = 0
    calls: list[Call] = field(default_factory=list)
    content: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """Forms that a client of the API would stumble over."""

    @property
    def told(self) -> list[tuple[str, str]]:
        """Name and arguments of each call."""
        return [(call.name, call.arguments) for call in self.calls]


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], *, stream: bool) -> Answer:
    """The answer; one that breaks off or is no JSON has a fault."""
    answer = Answer()
    extra = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    try:
        async with session.post(f"{url}/chat/completions", json={**body, **extra}) as response:
            answer.status = response.status
            if response.status != 200:
                answer.faults.append(f"{response.status} {(await response.text())[:200]}")
            elif stream:
                await _read_stream(response, answer)
            else:
                _read(await response.json(content_type=None), answer)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        answer.faults.append(f"no whole answer ({error!r})")
    return answer


def _read(body: dict[str, Any], answer: Answer) -> None:
    choice = body["choices"][0]
    answer.finish_reason, answer.usage = choice["finish_reason"], body.get("usage") or {}
    answer.content = choice["message"].get("content") or ""
    for call in choice["message"].get("tool_calls") or []:
        function = call["function"]
        if not isinstance(function["arguments"], str):
            answer.faults.append("arguments that are no text")
        answer.calls.append(Call(str(function["name"]), str(function["arguments"]), str(call.get("id") or "")))


async def _read_stream(response: aiohttp.ClientResponse, answer: Answer) -> None:
    async for line in response.content:
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:"):
            continue
        if data == b"[DONE]":
            return
        event = json.loads(data)
        answer.usage = event.get("usage") or answer.usage
        for choice in event["choices"]:
            if answer.finish_reason and (choice["delta"].get("tool_calls") or choice["delta"].get("content")):
                answer.faults.append("more of the answer after its finish_reason")
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
            answer.content += choice["delta"].get("content") or ""
            for piece in choice["delta"].get("tool_calls") or []:
                _add(piece, answer)
    answer.faults.append("a stream without [DONE]")


def _add(piece: dict[str, Any], answer: Answer) -> None:
    index = piece["index"]
    if index == len(answer.calls):
        answer.calls.append(Call())
    elif not 0 <= index < len(answer.calls):
        answer.faults.append(f"a call of index {index} after {len(answer.calls)} calls")
        return
    call, function = answer.calls[index], piece.get("function") or {}
    call.identity = call.identity or str(piece.get("id") or "")
    if function.get("name"):
        if call.name:
            answer.faults.append("the name of a call twice")
        call.name = str(function["name"])
    call.arguments += function.get("arguments") or ""
