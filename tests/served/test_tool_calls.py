"""Tool calls through the gateway: texts as Qwen3-Coder writes them, which the small model is made to say word by word.

tests/contract cuts many more such texts at every border, in the server code alone.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.served.fields import ADD, BODIES, TOOL
from tests.support.client import CHAT, Client, Json
from tests.support.tool_calls import CALLS, TOOLS

SAID = (
    "quotes and backslashes",
    "values by their schema's type",
    "no parameters",
    "two calls",
    "letters of several bytes",
    "values of types behind references",
)


def saying(text: str) -> Json:
    """A request whose answer can be nothing but this text."""
    return {**BODIES[CHAT], "tools": TOOLS, "max_tokens": 600, "structured_outputs": {"choice": [text]}}


def calls(message: Json) -> list[tuple[str, Any]]:
    called = [call["function"] for call in message.get("tool_calls") or []]
    return [(function["name"], json.loads(function["arguments"])) for function in called]


def join(events: list[Json]) -> Json:
    """The message that a client of a stream holds at its end."""
    joined: dict[int, Json] = {}
    for choice in (choice for event in events for choice in event["choices"]):
        for part in choice["delta"].get("tool_calls") or []:
            function = joined.setdefault(part["index"], {"name": "", "arguments": ""})
            for key in function:
                function[key] += part["function"].get(key) or ""
    return {"tool_calls": [{"function": function} for _, function in sorted(joined.items())]}


@pytest.mark.parametrize("name", SAID)
def test_what_the_model_writes_arrives_as_calls_streamed_and_not(served: Client, name: str) -> None:
    text, expected = CALLS[name]
    status, answer = served.ask(CHAT, saying(text))
    assert status == 200, answer
    assert calls(answer["choices"][0]["message"]) == expected
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    events = [event for event in served.stream(CHAT, saying(text)) if isinstance(event, dict)]
    assert calls(join(events)) == expected


@pytest.mark.parametrize("choice", [ADD, "required"], ids=["named", "required"])
def test_a_call_that_is_demanded_is_made(served: Client, choice: object) -> None:
    """The small model makes up the arguments: its answer is cut before they end."""
    status, answer = served.ask(
        CHAT, {**BODIES[CHAT], "tools": [TOOL], "tool_choice": choice, "temperature": 0, "max_tokens": 64}
    )
    assert status == 200, answer
    assert [name for name, _ in calls(answer["choices"][0]["message"])] == ["add"]
