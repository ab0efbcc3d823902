"""Every field that the served engine documents, once, through the gateway: none of them ends an engine.

What needs a compiler, a library or a setting that the image lacks shows only here: elsewhere the same code finds them.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.served.fields import BODIES, fields, request
from tests.support.client import CHAT, COMPLETIONS, Client, Json

ALL = [(path, name) for path in BODIES for name in sorted(fields(path))]


def test_the_list_is_that_of_the_schema(schema: dict[str, Any]) -> None:
    """A version of vLLM with another field fails here, until a value for it is given."""
    for path in BODIES:
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        documented = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
        assert {*fields(path), "model"} == documented.keys(), path


@pytest.mark.parametrize(("path", "name"), ALL, ids=lambda value: value.removeprefix("/v1/"))
def test_a_documented_field_is_answered_and_the_engine_stays(served: Client, path: str, name: str) -> None:
    body, expected = request(path, name)
    status, _, text = served.exchange(path, body)
    assert status == expected, text


def answered(served: Client, path: str, name: str) -> Json:
    """The first choice."""
    status, answer = served.ask(path, {**request(path, name)[0], "temperature": 0})
    assert status == 200, answer
    return answer["choices"][0]


def test_logprobs_of_chat_come_with_the_tokens_that_were_likely_too(served: Client) -> None:
    content = answered(served, CHAT, "top_logprobs")["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in content] == [3] * 4
    for token in content:
        assert token["token"] == token["top_logprobs"][0]["token"], "greedy: the most likely one"
        assert token["logprob"] <= 0


def test_an_echo_has_a_logprob_for_each_token_of_the_prompt_but_the_first(served: Client) -> None:
    choice = answered(served, COMPLETIONS, "echo")
    assert choice["text"].startswith(BODIES[COMPLETIONS]["prompt"])
    first, *others = choice["logprobs"]["token_logprobs"]
    assert first is None
    assert others
    assert all(value <= 0 for value in others)


def test_what_lm_eval_asks_gets_the_logprob_of_every_token_of_its_prompts(served: Client) -> None:
    """Its loglikelihood requests: prompts as tokens, echoed, and one token more that nobody reads."""
    prompts = [served.ask("/tokenize", {"prompt": text})[1]["tokens"] for text in ("def add(a, b):", "To be, or not")]
    status, answer = served.ask(
        COMPLETIONS,
        {"prompt": prompts, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True, "seed": 1234},
    )
    assert status == 200, answer
    for prompt, choice in zip(prompts, answer["choices"], strict=True):
        first, *others = choice["logprobs"]["token_logprobs"]
        assert first is None
        assert len(others) == len(prompt), "the rest of the prompt, and one token more"
        assert all(value <= 0 for value in others)
        assert len(choice["logprobs"]["top_logprobs"]) == len(prompt) + 1, "tells whether a token was the likeliest"
