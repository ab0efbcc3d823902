"""The endpoint as its users see it, through the client that they use."""

from __future__ import annotations

import urllib.request

import openai
import pytest

from lab.cluster.ask import ENDPOINT

REFERENCE = "smollm2-135m-instruct-reference"
QUESTION = [{"role": "user", "content": "Say hello."}]


def test_a_chat_request_is_answered_with_real_tokens(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=16, temperature=0)
    assert answer.model == model
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 16


def test_a_streamed_answer_comes_in_pieces_and_equals_the_whole_one(client: openai.OpenAI, model: str) -> None:
    ask = {"model": model, "messages": QUESTION, "max_tokens": 24, "temperature": 0, "seed": 1}
    pieces = [
        event.choices[0].delta.content
        for event in client.chat.completions.create(**ask, stream=True)
        if event.choices and event.choices[0].delta.content
    ]
    assert len(pieces) > 1
    assert "".join(pieces) == client.chat.completions.create(**ask).choices[0].message.content


def test_a_completion_goes_on_from_its_prompt(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="1, 2, 3, 4,", max_tokens=8, temperature=0)
    assert "5" in answer.choices[0].text


def test_the_model_list_names_the_served_models(client: openai.OpenAI, model: str) -> None:
    assert [m.id for m in client.models.list().data] == [model, REFERENCE]


def test_the_reference_engine_answers_behind_the_same_endpoint(client: openai.OpenAI) -> None:
    ask = {"model": REFERENCE, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    assert whole.model == REFERENCE
    assert whole.choices[0].message.content
    events = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    pieces = [event.choices[0].delta.content for event in events if event.choices and event.choices[0].delta.content]
    assert "".join(pieces) == whole.choices[0].message.content
    assert events[-1].usage == whole.usage


def test_the_reference_engine_refuses_what_it_cannot_do(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=REFERENCE, messages=QUESTION, n=2)
    assert refused.value.param == "n"


def test_health_needs_no_key() -> None:
    with urllib.request.urlopen(ENDPOINT.removesuffix("/v1") + "/health", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("key", ["wrong", "sk-" + "x" * 32])
def test_a_wrong_key_is_refused_and_told_what_to_send(key: str, model: str) -> None:
    stranger = openai.OpenAI(base_url=ENDPOINT, api_key=key, max_retries=0)
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.chat.completions.create(model=model, messages=QUESTION)
    assert "Authorization: Bearer" in refused.value.body["message"]


def test_an_unknown_model_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.chat.completions.create(model="no-such-model", messages=QUESTION)


def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(client: openai.OpenAI, model: str) -> None:
    long = [{"role": "user", "content": "word " * 6000}]
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        client.chat.completions.create(model=model, messages=long)
    assert client.chat.completions.create(model=model, messages=QUESTION, max_tokens=4)


def test_malformed_json_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post(
            "/chat/completions",
            cast_to=object,
            content=b'{"model": ',
            options={"headers": {"Content-Type": "application/json"}},
        )
    assert "JSON" in refused.value.body["message"]
