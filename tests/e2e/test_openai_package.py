"""More of the openai package than chat, at the lab's gateway and its real model. All clients: tests/clients."""

from __future__ import annotations

import secrets
from typing import Literal

import openai
from pydantic import BaseModel

QUESTION = "Is the sky blue or green?"


class Answer(BaseModel):
    colour: Literal["blue", "green"]


def test_parse_returns_an_object_of_the_wanted_class(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        response_format=Answer,
        max_tokens=64,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, Answer)


def test_a_response_is_the_same_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    whole = client.responses.create(model=model, input=QUESTION, max_output_tokens=12, temperature=0, store=False)
    with client.responses.stream(
        model=model, input=QUESTION, max_output_tokens=12, temperature=0, store=False
    ) as stream:
        streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert whole.output_text
    assert streamed == whole.output_text


def test_the_usage_tells_how_much_of_a_prompt_was_still_known(client: openai.OpenAI, model: str) -> None:
    def known(salt: str) -> int:
        """Tokens of the prompt that the engine still had; a salt keeps them from requests with another one."""
        long = [{"role": "user", "content": f"{QUESTION} " * 40}]
        extra = {"cache_salt": salt}
        usage = client.chat.completions.create(model=model, messages=long, max_tokens=1, extra_body=extra).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0

    one, another = secrets.token_hex(8), secrets.token_hex(8)
    assert known(one) == 0
    assert known(one) > 0
    assert known(another) == 0
