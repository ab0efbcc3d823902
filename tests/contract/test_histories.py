"""Requests of coding agents are taken, and mean what they say: the pinned vLLM reads them for a chat template.

A request goes through the package's middleware first (engine/leniency.py), as it does in front of the server. Each mend
of it is needed: vLLM refuses the same request without it, and where a version takes it, that mend goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from qwen_runtime.engine import leniency

SCRIPT = Path(__file__).with_name("history_questions.py")
Json = dict[str, Any]
USER = {"role": "user", "content": "Hello"}
PARTS = [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "two"}]
RESULT = {"role": "tool", "tool_call_id": "1", "content": "done"}
# An answer as OpenAI's SDK keeps it.
ANSWER = {"role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "audio": None, "tool_calls": []}
OTHERS_EXTRAS: Json = {"id": "m", "reasoning_details": [], "provider_specific_fields": None, "function_call": None}
# vLLM's answer where the model says nothing, or begins a call that it does not end, as OpenAI's SDK hands it back.
NOTHING_SAID: Json = {"role": "assistant"} | dict.fromkeys(
    ("content", "refusal", "annotations", "audio", "function_call", "tool_calls", "reasoning")
)
TOOL = {"type": "function", "function": {"name": "edit", "parameters": {"type": "object"}}}


def called(**function: object) -> Json:
    call = {"id": "1", "type": "function", "function": {"name": "edit", **function}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def shown(arguments: Json) -> list[Json]:
    """The user's words, a call and its result, as a template gets them."""
    call = {"id": "1", "type": "function", "function": {"name": "edit", "arguments": arguments}}
    return [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, RESULT]


# Messages, and as a template gets them; vLLM takes them as they are.
TAKEN: dict[str, tuple[list[Json], list[Json]]] = {
    "developer": (
        [{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, USER],
        [{"role": "system", "content": "S\n\nD"}, USER],
    ),
    "developer, late": (
        [USER, {"role": "developer", "content": "D"}, USER],
        [{"role": "system", "content": "D"}, USER, USER],
    ),
    **{
        f"parts of role {role}": ([{"role": role, "content": PARTS}], [{"role": role, "content": "one\ntwo"}])
        for role in ("system", "user", "assistant")
    },
    "parts of role developer": ([{"role": "developer", "content": PARTS}], [{"role": "system", "content": "one\ntwo"}]),
    "parts of role tool": (
        [USER, called(arguments="{}"), {**RESULT, "content": PARTS}],
        [*shown({})[:2], {**RESULT, "content": "one\ntwo"}],
    ),
    "an answer as the SDK keeps it": ([USER, ANSWER, USER], [USER, {"role": "assistant", "content": "Hi"}, USER]),
    "others' extras": (
        [USER, {**ANSWER, **OTHERS_EXTRAS}, USER],
        [USER, {"role": "assistant", "content": "Hi"}, USER],
    ),
    "whole arguments": ([USER, called(arguments='{"a": 1}'), RESULT], shown({"a": 1})),
    **{
        f"arguments {text!r}": ([USER, called(arguments=text), RESULT], shown({}))
        for text in ('{"contents": "abc', "", "null", "[]", "42", "no JSON")
    },
}
# The same for what vLLM refuses without the middleware.
MENDED: dict[str, tuple[list[Json], list[Json]]] = {
    "an answer of vLLM's that says nothing": (
        [USER, NOTHING_SAID, USER],
        [USER, {"role": "assistant", "content": ""}, USER],
    ),
    "a result that is null": (
        [USER, called(arguments="{}"), {**RESULT, "content": None}],
        [*shown({})[:2], {**RESULT, "content": ""}],
    ),
    "a name that is null": ([{**USER, "name": None}], [USER]),
    "arguments that are null": ([USER, called(arguments=None), RESULT], shown({})),
    "no arguments": ([USER, called(), RESULT], shown({})),
    "arguments as an object": ([USER, called(arguments={"a": 1}), RESULT], shown({"a": 1})),
}
# Fields beside one message that ask for nothing; the second ones need the middleware.
FIELDS_TAKEN: tuple[Json, ...] = (
    {"tool_choice": "none"},
    {"tools": None, "tool_choice": None},
    {"tools": [{"type": "function", "function": {"name": "edit", "description": None, "parameters": None}}]},
    {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "edit"}}},
    {"parallel_tool_calls": True},
    {"response_format": {"type": "text"}},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"max_completion_tokens": 5, "max_tokens": None},
    {"stop": [], "logit_bias": {}, "logprobs": False, "top_logprobs": 0},
    dict.fromkeys(("n", "stop", "stream", "stream_options", "response_format", "logprobs", "temperature", "seed")),
    {"metadata": {"a": "b"}, "store": False, "service_tier": "auto", "prompt_cache_key": "k", "verbosity": "low"},
)
FIELDS_MENDED: tuple[Json, ...] = ({"tools": []}, {"tools": [], "tool_choice": "auto"}, {"tool_choice": "auto"})
# What asks for something that cannot be, or says nothing at all.
REFUSED: tuple[Json, ...] = (
    {"tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
    {"stream_options": {"include_usage": True}},
    {"messages": [{"role": "user", "content": None}]},
    {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "of /v1/responses"}]}]},
)


def body(fields: Json) -> str:
    return json.dumps({"model": "m", "messages": [USER], **fields})


def mended(text: str) -> str:
    return leniency.mend(text.encode()).decode()


@pytest.fixture(scope="module")
def seen(ask: Callable[[Path, Any], Json]) -> Json:
    messages = {name: body({"messages": sent}) for name, (sent, _) in {**TAKEN, **MENDED}.items()}
    fields = {body(each): body(each) for each in (*FIELDS_TAKEN, *FIELDS_MENDED, *REFUSED)}
    raw = {**messages, **fields}
    return ask(SCRIPT, {**raw, **{f"mended {name}": mended(text) for name, text in raw.items()}})


@pytest.mark.parametrize("name", [*TAKEN, *MENDED])
def test_a_history_reaches_the_template_as_it_was_meant(seen: Json, name: str) -> None:
    assert seen["bodies"][f"mended {name}"] == {**TAKEN, **MENDED}[name][1]


@pytest.mark.parametrize("fields", [*FIELDS_TAKEN, *FIELDS_MENDED], ids=str)
def test_a_field_that_asks_for_nothing_is_taken(seen: Json, fields: Json) -> None:
    assert seen["bodies"][f"mended {body(fields)}"] == [USER]


@pytest.mark.parametrize("fields", REFUSED, ids=str)
def test_what_cannot_be_done_is_refused_still(seen: Json, fields: Json) -> None:
    assert "error" in seen["bodies"][f"mended {body(fields)}"]


@pytest.mark.parametrize("name", [*MENDED, *map(body, FIELDS_MENDED)])
def test_known_limit_vllm_alone_refuses_it(seen: Json, name: str) -> None:
    assert "error" in seen["bodies"][name]


@pytest.mark.parametrize("name", [*TAKEN, *map(body, FIELDS_TAKEN)])
def test_what_vllm_takes_it_takes_without_the_middleware(seen: Json, name: str) -> None:
    assert seen["bodies"][name] == seen["bodies"][f"mended {name}"]


def test_vllm_and_the_sdk_write_an_answer_as_this_file_has_it(seen: Json) -> None:
    assert ChatCompletionMessage.model_validate(seen["answer"]).model_dump() == NOTHING_SAID
