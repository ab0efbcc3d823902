"""Clients get the tool calls that Qwen3-Coder writes, from the server code of the pinned vLLM.

Streams are cut at every border between two bytes. What that code gets wrong stands in LIMITS and, for people, in
docs/engines-vllm.md: a version of vLLM that mends one fails here, and then both lines go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.tool_calls import CALLS, TOOLS, call

SCRIPT = Path(__file__).with_name("tool_call_questions.py")
View = dict[str, Any]
PLAIN = "a < b, <tool and </function> in plain text"
SPLIT = call(path="a") + "\nand\n" + call(path="b")
# Text, why the engine ended it, and what a client gets: not streamed, then streamed.
LIMITS: dict[str, tuple[str, str, View, View]] = {
    "</function> in a value": (
        call(text="print('</function>')"),
        "stop",
        {"content": None, "calls": [["edit", "{}"]], "finish": "tool_calls"},
        {"content": None, "calls": [["edit", '{"text": "print(\'']], "finish": "tool_calls"},
    ),
    "no </parameter> before </function>": (
        call(path="a").replace("</parameter>\n", ""),
        "stop",
        {"content": None, "calls": [["edit", "{}"]], "finish": "tool_calls"},
        {"content": None, "calls": [["edit", '{"path": "a']], "finish": "tool_calls"},
    ),
    "an answer cut by max_tokens in a value": (
        call(path="a/long/path")[: -len("th\n</parameter>\n</function>\n</tool_call>")],
        "length",
        {"content": None, "calls": [["edit", "{}"]], "finish": "tool_calls"},
        {"content": None, "calls": [["edit", '{"path": "a/long/pa']], "finish": "length"},
    ),
    "an answer cut by max_tokens in a function's name": (
        "<tool_call>\n<function=ed",
        "length",
        {"content": None, "calls": [["ed", "{}"]], "finish": "tool_calls"},
        {"content": None, "calls": [["ed", "{}"]], "finish": "length"},
    ),
    "<parameter= in a value": (
        call(text="<parameter=x>\n</parameter> inside"),
        "stop",
        {"content": None, "calls": [["edit", '{"text": "", "x": ""}']], "finish": "tool_calls"},
        {"content": None, "calls": [["edit", '{"text": "", "x": ""}']], "finish": "tool_calls"},
    ),
}


@pytest.fixture(scope="module")
def answers(ask: Callable[[Path, Any], Any]) -> dict[str, Any]:
    texts = {name: (text, "stop") for name, (text, _) in CALLS.items()}
    texts |= {name: (text, finish) for name, (text, finish, *_) in LIMITS.items()}
    texts |= {"plain": (PLAIN, "stop"), "before": ("I will edit.\n\n" + call(path="a"), "stop")}
    texts |= {"after": (call(path="a") + "\nDone.", "stop"), "between": (SPLIT, "stop")}
    return ask(SCRIPT, {"tools": TOOLS, "texts": texts})


def streams(answer: Any) -> list[View]:
    """Each different thing that a client held at the end of a stream; one, unless the borders of its parts matter."""
    return [events for events, _ in answer["streamed"]]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_arrives_whole_and_typed_streamed_at_any_border_and_not(answers: dict[str, Any], name: str) -> None:
    _, calls = CALLS[name]
    for answer in (answers[name]["whole"], *streams(answers[name])):
        assert [(function, json.loads(arguments)) for function, arguments in answer["calls"]] == calls
        assert answer["finish"] == "tool_calls"
        assert not (answer["content"] or "").strip()


def test_text_that_only_looks_like_a_call_stays_text(answers: dict[str, Any]) -> None:
    expected = {"content": PLAIN, "calls": [], "finish": "stop"}
    assert answers["plain"]["whole"] == expected
    assert streams(answers["plain"]) == [expected]


def test_text_before_a_call_is_kept(answers: dict[str, Any]) -> None:
    assert answers["before"]["whole"]["content"] == "I will edit."
    assert [each["content"] for each in streams(answers["before"])] == ["I will edit.\n\n"]


@pytest.mark.parametrize("name", LIMITS)
def test_known_limit(answers: dict[str, Any], name: str) -> None:
    _, _, whole, streamed = LIMITS[name]
    assert answers[name]["whole"] == whole
    assert streams(answers[name]) == [streamed]


def test_known_limit_text_after_a_call_is_lost_unless_streamed(answers: dict[str, Any]) -> None:
    assert answers["after"]["whole"]["content"] is None
    assert {each["content"].strip() for each in streams(answers["after"])} == {"Done."}


def test_known_limit_text_between_calls_is_lost_or_out_of_order(answers: dict[str, Any]) -> None:
    """Calls are right all the same. Letters change places where one part of a stream holds text and the next call."""
    assert answers["between"]["whole"]["content"] is None
    contents = {each["content"].strip() for each in streams(answers["between"])}
    assert "and" in contents
    assert contents - {"and"}, "every border kept the order"
    for each in (answers["between"]["whole"], *streams(answers["between"])):
        assert [json.loads(arguments) for _, arguments in each["calls"]] == [{"path": "a"}, {"path": "b"}]
