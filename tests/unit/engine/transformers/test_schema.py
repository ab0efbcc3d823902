"""Fields that agents send and that change no answer are taken; a field that would change one is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from qwen_runtime.engine.transformers.schema import ChatRequest, CompletionRequest

USER = {"role": "user", "content": "Hello"}
# An answer as vLLM 0.32 writes it and OpenAI's SDK gives it back.
REPLAYED = {
    "role": "assistant",
    "content": "Hi",
    "refusal": None,
    "annotations": None,
    "audio": None,
    "function_call": None,
    "tool_calls": [],
    "reasoning": None,
    "reasoning_content": None,
}


def chat(*messages: dict[str, Any], **fields: object) -> ChatRequest:
    return ChatRequest.model_validate({"messages": list(messages) or [USER], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "auto"},
        {"tools": None, "tool_choice": "none"},
        {"parallel_tool_calls": True},
        {"functions": [], "function_call": "none"},
        {"metadata": {"session": "7"}, "prompt_cache_key": "k", "safety_identifier": "u", "store": False},
        {"service_tier": "auto", "modalities": ["text"], "reasoning_effort": None, "verbosity": None},
        {"min_p": 0, "min_tokens": 0, "skip_special_tokens": True, "chat_template_kwargs": {}},
        {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": False}},
    ],
)
def test_fields_that_ask_for_nothing_are_taken(fields: dict[str, object]) -> None:
    assert chat(**fields).sampling({}) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "required"},
        {"functions": [{"name": "f"}]},
        {"store": True},
        {"min_p": 0.1},
        {"min_tokens": 5},
        {"skip_special_tokens": False},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning_effort": "high"},
        {"modalities": ["audio"]},
        {"unheard_of": 1},
    ],
)
def test_fields_that_would_change_the_answer_are_refused_by_name(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        chat(**fields)
    assert {error["loc"][0] for error in caught.value.errors()} == set(fields)


def test_an_answer_is_taken_back_as_it_was_given() -> None:
    [_, answer, _] = chat(USER, REPLAYED, USER).messages
    assert (answer.template_role(), answer.text()) == ("assistant", "Hi")
    [empty] = chat({**REPLAYED, "content": None}).messages
    assert empty.text() == ""


def test_a_developers_instructions_are_the_systems() -> None:
    [message] = chat({"role": "developer", "content": "Be short."}).messages
    assert (message.template_role(), message.text()) == ("system", "Be short.")


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_content_may_come_in_parts_in_every_role(role: str) -> None:
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    [message] = chat({"role": role, "content": parts}).messages
    assert message.text() == "a\nb"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "system", "content": None},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "user", "content": "x", "name": "me"},
        {**REPLAYED, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {**REPLAYED, "reasoning_content": "because"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
    ],
)
def test_messages_that_the_template_would_have_to_show_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        chat(message)
    assert {error["loc"][0] for error in caught.value.errors()} == {"messages"}


def test_completions_take_labels_too() -> None:
    request = CompletionRequest.model_validate({"prompt": "x", "user": "me", "metadata": {"a": "b"}, "store": False})
    assert request.sampling({}) is not None
