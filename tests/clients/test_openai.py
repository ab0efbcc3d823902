"""The openai package through the gateway, with the settings of docs/clients.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.clients.endpoint import CONTEXT, MODEL, Endpoint
from tests.gateway.site import needs_envoy
from tests.support.tool_calls import TOOLS, call
from tests.support.waiting import wait_until

pytestmark = needs_envoy
ASKED = "Rename it."
QUESTION: list[Any] = [{"role": "user", "content": ASKED}]
SAID = "Done: Größe, 漢字, 🙂."
EDIT = call(path="a.py", line="3")


class Answer(BaseModel):
    name: str
    lines: list[int]


@pytest.fixture
def client(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[openai.OpenAI]:
    monkeypatch.setenv("SITE_LLM_KEY", endpoint.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca))
    names: dict[str, Any] = {}
    exec(endpoint.documented("## openai"), names)
    with names["client"].with_options(max_retries=0) as client:
        yield client


def test_an_answer_is_the_same_whole_and_streamed_and_both_tell_its_tokens(
    client: openai.OpenAI, endpoint: Endpoint
) -> None:
    endpoint.play((ASKED, SAID))
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION)
    events = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert whole.choices[0].message.content == SAID
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == SAID
    assert events[-1].usage is not None
    assert whole.usage is not None
    assert events[-1].usage.completion_tokens == whole.usage.completion_tokens > 1


def test_the_usage_tells_how_much_of_a_prompt_was_still_known(client: openai.OpenAI, endpoint: Endpoint) -> None:
    long = [{"role": "user", "content": f"{ASKED} " * 200}]
    usages = [client.chat.completions.create(model=MODEL, messages=long).usage for _ in range(2)]
    first, second = (
        usage and usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens for usage in usages
    )
    assert not first
    assert second
    assert second > 200


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "edit"}}])
def test_a_call_of_a_tool_arrives_whole_and_its_answer_may_be_replayed(
    client: openai.OpenAI, endpoint: Endpoint, choice: Any
) -> None:
    endpoint.play((ASKED, EDIT), ("renamed", SAID))
    ask: dict[str, Any] = {"model": MODEL, "tools": TOOLS, "tool_choice": choice}
    with client.chat.completions.stream(messages=QUESTION, **ask) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls
    [edit] = message.tool_calls
    assert (edit.function.name, json.loads(edit.function.arguments)) == ("edit", {"path": "a.py", "line": 3})
    # Programs send back what they got with all its fields, null ones too.
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        *QUESTION,
        message.model_dump(),
        {"role": "tool", "tool_call_id": edit.id, "content": [{"type": "text", "text": "renamed"}]},
    ]
    after = client.chat.completions.create(messages=history, model=MODEL, tools=TOOLS)
    assert after.choices[0].message.content == SAID


def test_parse_returns_an_object_of_the_wanted_class(client: openai.OpenAI, endpoint: Endpoint) -> None:
    endpoint.play((ASKED, '{"name": "a.py", "lines": [3, 5]}'))
    chat = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Answer)
    response = client.responses.parse(model=MODEL, input=ASKED, text_format=Answer)
    wanted = Answer(name="a.py", lines=[3, 5])
    assert chat.choices[0].message.parsed == response.output_parsed == wanted


def test_responses_answer_whole_streamed_and_with_a_tool(client: openai.OpenAI, endpoint: Endpoint) -> None:
    endpoint.play((ASKED, SAID), ("With a tool", EDIT), ("renamed", SAID))
    assert client.responses.create(model=MODEL, input=ASKED, store=False).output_text == SAID
    with client.responses.stream(model=MODEL, input=ASKED, store=False) as stream:
        final = stream.get_final_response()
    assert final.output_text == SAID
    assert final.usage is not None
    assert final.usage.output_tokens > 1
    tools: list[Any] = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]
    called = client.responses.create(model=MODEL, input="With a tool", tools=tools, store=False)
    [edit] = [item for item in called.output if item.type == "function_call"]
    assert (edit.name, json.loads(edit.arguments)) == ("edit", {"path": "a.py", "line": 3})
    history: list[Any] = [
        {"role": "user", "content": "With a tool"},
        *(item.model_dump() for item in called.output),
        {"type": "function_call_output", "call_id": edit.call_id, "output": "renamed"},
    ]
    assert client.responses.create(model=MODEL, input=history, tools=tools, store=False).output_text == SAID


def test_a_prompt_beyond_the_context_is_refused_with_the_code_that_agents_know(client: openai.OpenAI) -> None:
    long = [{"role": "user", "content": "word " * CONTEXT}]
    with pytest.raises(openai.BadRequestError, match="context length"):
        client.chat.completions.create(model=MODEL, messages=long)


def test_the_session_that_a_client_names_is_told_in_the_log(client: openai.OpenAI, endpoint: Endpoint) -> None:
    def session_of(name: str) -> str:
        named = client.with_options(default_headers={"x-session-id": name})
        request = named.chat.completions.create(model=MODEL, messages=QUESTION)._request_id
        wait_until(lambda: endpoint.logged(request), "a line of the log")
        return endpoint.logged(request)["session"]

    assert session_of("one") == session_of("one") != session_of("two")
