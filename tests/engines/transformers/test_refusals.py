"""A request that can't be done gets a 400 that names the field; nothing is ignored and nothing breaks the server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.client import CHAT, COMPLETIONS, Client, Json
from tests.support.oracle import CONTEXT

USER = {"role": "user", "content": "Hello"}
GOOD: dict[str, Json] = {CHAT: {"messages": [USER]}, COMPLETIONS: {"prompt": "Hello"}}
BOTH: list[tuple[str, Any]] = [
    ("unheard_of", 1),
    ("n", 2),
    ("logit_bias", {"5": 1.0}),
    ("temperature", "hot"),
    ("temperature", -0.1),
    ("temperature", 2.1),
    ("top_p", 0),
    ("top_p", 1.1),
    ("top_k", -2),
    ("min_p", 0.1),
    ("seed", 2**63),
    ("seed", "7"),
    ("max_tokens", 0),
    ("max_tokens", -3),
    ("max_tokens", 1.5),
    ("max_tokens", CONTEXT),
    ("stop", ""),
    ("stop", [1]),
    ("stop", ["x"] * 65),
    ("stop_token_ids", [1]),
    ("presence_penalty", 3),
    ("frequency_penalty", -3),
    ("repetition_penalty", 0),
    ("stream", "yes"),
    ("stream_options", {"include_usage": True}),  # without stream
    ("use_beam_search", True),
    ("guided_json", {}),
    ("priority", 1),
]
OF_CHAT: list[tuple[str, Any]] = [
    ("tools", [{"type": "function", "function": {"name": "f"}}]),
    ("tool_choice", "required"),
    ("response_format", {"type": "json_object"}),
    ("top_logprobs", 21),
    ("logprobs", 1),
    ("max_completion_tokens", CONTEXT),
    ("messages", []),
    ("messages", "hi"),
    ("messages", None),
    ("messages", [{"role": "alien", "content": "x"}]),
    ("messages", [{"role": "tool", "content": "x"}]),
    ("messages", [{"role": "user"}]),
    ("messages", [{"role": "user", "content": None}]),
    ("messages", [{"role": "user", "content": "x", "name": "me"}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
]
OF_COMPLETIONS: list[tuple[str, Any]] = [
    ("best_of", 2),
    ("echo", True),
    ("suffix", "end"),
    ("logprobs", 21),
    ("prompt", ""),
    ("prompt", []),
    ("prompt", [-1]),
    ("prompt", [10**6]),
    ("prompt", ["one", "two"]),
    ("prompt", None),
]
CASES = [
    *((path, field, value) for path in GOOD for field, value in BOTH),
    *((CHAT, field, value) for field, value in OF_CHAT),
    *((COMPLETIONS, field, value) for field, value in OF_COMPLETIONS),
]


def refused(client: Client, path: str, body: object = None, *, raw: bytes | None = None) -> Json:
    status, answer = client.ask(path, body, raw=raw)
    assert status == 400, answer
    assert set(answer) == {"error"}
    error: Json = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("BadRequestError", 400)
    return error


@pytest.mark.parametrize(("path", "field", "value"), CASES, ids=lambda value: str(value)[:40])
def test_a_field_that_cannot_be_honoured_is_named(client: Client, path: str, field: str, value: object) -> None:
    assert refused(client, path, {**GOOD[path], field: value})["param"] == field


@pytest.mark.parametrize("path", GOOD)
def test_values_that_ask_for_nothing_are_taken(client: Client, path: str) -> None:
    nothing: Json = {
        "n": 1,
        "logit_bias": {},
        "stop": None,
        "temperature": None,
        "presence_penalty": 0,
        "stream": False,
    }
    needed: dict[str, Json] = {
        CHAT: {"response_format": {"type": "text"}, "tool_choice": "none", "logprobs": False, "top_k": -1},
        COMPLETIONS: {"best_of": 1, "echo": False, "logprobs": None, "top_k": 0},
    }
    status, answer = client.ask(path, {**GOOD[path], **nothing, **needed[path], "user": "me", "max_tokens": 2})
    assert status == 200, answer


@pytest.mark.parametrize("path", GOOD)
def test_all_wrong_fields_are_told_at_once(client: Client, path: str) -> None:
    message = refused(client, path, {**GOOD[path], "n": 2, "unheard_of": 1, "top_p": 7})["message"]
    assert all(field in message for field in ("n:", "unheard_of:", "top_p:"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": 1e999}',
        b'{"prompt": "x", "max_tokens": ' + b"9" * 5000 + b"}",
        b'{"prompt": ' + b"[" * 100_000,
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\\udfff\\ud800 x"}',
        b'{"prompt": "x", "stop": "\\ud83d"}',
        b'{"prompt": "x", "model": "\\ud83d"}',
        b'{"prompt": "x", "\\ud83d": 1}',
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_a_body_that_is_no_request_is_refused(client: Client, raw: bytes) -> None:
    refused(client, COMPLETIONS, raw=raw)


def test_control_characters_are_text_like_any_other(client: Client) -> None:
    text = "".join(map(chr, range(32))) + "\x7f\u2028\ufeff\U0010ffff"
    assert client.ask(COMPLETIONS, {"prompt": text, "max_tokens": 1})[0] == 200


def test_an_unknown_model_is_404_as_with_vllm(client: Client) -> None:
    for path, good in GOOD.items():
        status, answer = client.ask(path, {**good, "model": "other"})
        assert status == 404
        assert (answer["error"]["type"], answer["error"]["param"]) == ("NotFoundError", "model")
        assert client.ask(path, {**good, "model": "tiny", "max_tokens": 1})[0] == 200


def test_other_paths_and_methods_are_refused_in_the_same_shape(client: Client) -> None:
    assert client.ask("/v1/embeddings", {})[1]["error"]["code"] == 404
    assert client.ask("/v1/models", {})[1]["error"]["code"] == 405
    assert client.ask(CHAT)[1]["error"]["code"] == 405


@pytest.mark.parametrize("prompt_tokens", [CONTEXT - 2, CONTEXT - 1])
def test_a_prompt_that_leaves_room_is_answered_to_the_very_end(client: Client, prompt_tokens: int) -> None:
    status, answer = client.ask(
        COMPLETIONS, {"prompt": [1] * prompt_tokens, "max_tokens": CONTEXT - prompt_tokens, "ignore_eos": True}
    )
    assert status == 200, answer
    assert answer["usage"]["total_tokens"] == CONTEXT
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("prompt_tokens", [CONTEXT, CONTEXT + 1])
def test_a_prompt_that_leaves_none_is_refused(client: Client, prompt_tokens: int) -> None:
    error = refused(client, COMPLETIONS, {"prompt": [1] * prompt_tokens, "max_tokens": 1})
    assert error["param"] == "prompt"
    assert str(CONTEXT) in error["message"]


def test_one_token_more_than_there_is_room_for_is_refused(client: Client) -> None:
    body = {"prompt": [1] * 8, "max_tokens": CONTEXT - 7}
    assert refused(client, COMPLETIONS, body)["param"] == "max_tokens"
    status, answer = client.ask(CHAT, {"messages": [USER], "temperature": 0})
    assert status == 200, "without max_tokens an answer may take all that is left"
    assert answer["usage"]["total_tokens"] <= CONTEXT


def test_a_prompt_of_a_megabyte_is_refused_and_the_next_one_answered(client: Client) -> None:
    error = refused(client, CHAT, {"messages": [{"role": "user", "content": "x " * 500_000}]})
    assert error["param"] == "messages"
    assert client.ask(COMPLETIONS, {"prompt": "Hello", "max_tokens": 1})[0] == 200


def test_a_body_beyond_all_measure_is_not_read(client: Client) -> None:
    status, _, body = client.exchange(COMPLETIONS, raw=b" " * (16 << 20) + b"{}")
    assert (status, json.loads(body)["error"]["type"]) == (413, "PayloadTooLargeError")


def test_refusals_are_counted_by_cause(client: Client) -> None:
    def count() -> float:
        return client.metric("transformers:request_errors_total", cause="bad_request")

    before = count()
    refused(client, COMPLETIONS, {})
    assert count() == before + 1
