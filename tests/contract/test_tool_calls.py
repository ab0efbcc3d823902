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
from qwen_runtime.engine import vllm

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


DEMANDED: dict[str, object] = {
    "required": "required",
    "named": {"type": "function", "function": {"name": "edit"}},
}


@pytest.fixture(scope="module")
def answers(ask: Callable[[Path, Any], dict[str, Any]]) -> dict[str, Any]:
    texts: dict[str, tuple[object, ...]] = {name: (text, "stop") for name, (text, _) in CALLS.items()}
    texts |= {name: (text, finish) for name, (text, finish, *_) in LIMITS.items()}
    texts |= {"plain": (PLAIN, "stop"), "before": ("I will edit.\n\n" + call(path="a"), "stop")}
    texts |= {"after": (call(path="a") + "\nDone.", "stop"), "between": (SPLIT, "stop")}
    texts |= {f"tool_choice {name}": (call(path="a"), "stop", choice) for name, choice in DEMANDED.items()}
    texts |= {f"tool_choice {choice}": (call(path="a"), "stop", choice) for choice in ("none", None)}
    texts |= {"tool_choice none, text": (PLAIN, "stop", "none")}
    return ask(SCRIPT, {"plugin": Path(vllm.TOOL_PARSER).read_text(), "tools": TOOLS, "texts": texts})


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


@pytest.mark.parametrize("name", DEMANDED)
def test_a_call_arrives_whatever_tool_choice_demanded_it(answers: dict[str, Any], name: str) -> None:
    answer = answers[f"tool_choice {name}"]
    for view in (answer["whole"], *streams(answer)):
        assert (view["content"], view["calls"]) == (None, [["edit", '{"path": "a"}']])
        # OpenAI's API ends an answer in the one call that was named by "stop" too.
        assert view["finish"] in ({"tool_calls", "stop"} if name == "named" else {"tool_calls"})


def test_tool_choice_none_leaves_text_and_hands_no_call_on(answers: dict[str, Any]) -> None:
    text = answers["tool_choice none, text"]
    assert [text["whole"], *streams(text)] == [{"content": PLAIN, "calls": [], "finish": "stop"}] * 2
    call_in_spite = answers["tool_choice none"]
    for view in (call_in_spite["whole"], *streams(call_in_spite)):
        assert view["calls"] == []
        assert view["finish"] == "stop"


def test_known_limit_a_tool_choice_of_null_drops_calls_unless_streamed(answers: dict[str, Any]) -> None:
    """The package's middleware takes it out of requests (engine/leniency.py)."""
    answer = answers["tool_choice None"]
    assert answer["whole"]["calls"] == []
    assert [view["calls"] for view in streams(answer)] == [[["edit", '{"path": "a"}']]]


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
