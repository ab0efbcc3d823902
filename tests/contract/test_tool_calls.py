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

SCRIPT = Path(__file__).with_name("tool_call_questions.py")
TYPES = {
    "path": "string",
    "text": "string",
    "line": "integer",
    "ratio": "number",
    "force": "boolean",
    "marks": "array",
    "options": "object",
    "note": ["string", "null"],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "parameters": {"type": "object", "properties": {name: {"type": kind} for name, kind in TYPES.items()}},
        },
    }
]
View = dict[str, Any]


def call(name: str = "edit", **parameters: str) -> str:
    """A call as Qwen3-Coder's chat template has it."""
    lines = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items())
    return f"<tool_call>\n<function={name}>\n{lines}</function>\n</tool_call>"


def edits(*arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("edit", one) for one in arguments]


STRINGS = {
    "quotes and backslashes": "say \"hi\" and 'bye', C:\\new\\table, \\n",
    "newlines at both ends": "\n  first\n\n  last\n\n",
    "braces": '{"a": [1, {"b": "}"}]}',
    "letters of several bytes": "Größe 漢字 🙂 \u2028 é",
    "angle brackets": "if a < b and c > d: <tag> </tag> <",
    "the mark that ends a call": "print('</tool_call>')",
    "nothing": "",
}
# Text, and the calls that a client gets for it, streamed or not.
CALLS: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    **{name: (call(text=value), edits({"text": value})) for name, value in STRINGS.items()},
    "values by their schema's type": (
        call(path="1", line="3", ratio="0.5", force="true", marks="[1, 2]", options='{"a": "b"}', note="null"),
        edits(
            {
                "path": "1",
                "line": 3,
                "ratio": 0.5,
                "force": True,
                "marks": [1, 2],
                "options": {"a": "b"},
                "note": None,
            }
        ),
    ),
    "values that are not of that type": (
        call(line="three", options="{oops"),
        edits({"line": "three", "options": "{oops"}),
    ),
    "no parameters": (call(), edits({})),
    "a parameter without a schema": (call(other="3"), edits({"other": "3"})),
    "a function that was not offered": (call("other", line="3"), [("other", {"line": "3"})]),
    "two calls": (call(path="a") + "\n" + call(path="b"), edits({"path": "a"}, {"path": "b"})),
    "two functions in one call": (
        call(path="a").removesuffix("</tool_call>") + call(path="b").removeprefix("<tool_call>\n"),
        edits({"path": "a"}, {"path": "b"}),
    ),
    "no </parameter> between two": (
        call(path="a", line="3").replace("\n</parameter>", "", 1),
        edits({"path": "a", "line": 3}),
    ),
    "no </function>": (call(path="a").replace("</function>\n", ""), edits({"path": "a"})),
    "no </tool_call>": (call(path="a").removesuffix("</tool_call>"), edits({"path": "a"})),
    "no <tool_call>": (call(path="a").removeprefix("<tool_call>\n"), edits({"path": "a"})),
}
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
