"""vLLM and bad clients: malformed requests, clients that disconnect, read late or send nothing. It answers the next
good request as it answered the first."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.client import COMPLETIONS, Client, Json
from tests.support.engines import CONTEXT
from tests.support.rude_clients import read_late, send, send_part, silent
from tests.support.vllm_requests import KNOWN_FAILURES, NO_REQUEST, REFUSED, TAKEN, answer
from tests.support.waiting import wait_for_engine

LONG: Json = {"prompt": "x", "max_tokens": CONTEXT - 1, "ignore_eos": True}
RUNNING, TOKENS = "vllm:num_requests_running", "vllm:generation_tokens_total"


@pytest.fixture(scope="module")
def first_answer(client: Client) -> list[int]:
    return answer(client)


@pytest.fixture
def vllm(client: Client, first_answer: list[int]) -> Iterator[Client]:
    """Checks that after each test nothing runs any more, and the next good request is answered as the first."""
    yield client
    wait_for_engine(lambda: client.metric(RUNNING) == 0, "the end of every request")
    assert answer(client) == first_answer


@pytest.mark.parametrize(("path", "body"), REFUSED, ids=lambda value: str(value)[:40].encode("unicode_escape").decode())
def test_what_cannot_be_answered_is_refused(vllm: Client, path: str, body: Json) -> None:
    status, answer = vllm.ask(path, body)
    assert (status, answer["error"]["code"]) == (400, 400)


@pytest.mark.parametrize("raw", NO_REQUEST, ids=lambda raw: repr(raw[:20]))
def test_a_body_that_is_no_request_is_refused(vllm: Client, raw: bytes) -> None:
    assert vllm.ask(COMPLETIONS, raw=raw)[0] == 400


@pytest.mark.parametrize(("path", "body"), TAKEN, ids=lambda value: str(value)[:40])
def test_strange_text_is_text(vllm: Client, path: str, body: Json) -> None:
    assert vllm.ask(path, {**body, "max_tokens": 1})[0] == 200


@pytest.mark.parametrize(("reason", "path", "body"), KNOWN_FAILURES, ids=lambda value: str(value)[:40])
def test_a_known_failure_of_vllm_is_one_still(vllm: Client, reason: str, path: str, body: Json) -> None:
    """A version that mends it fails here: then remove its row, and its line in the documentation."""
    assert vllm.ask(path, {**body, "max_tokens": 1})[0] == 500, reason


@pytest.mark.parametrize("prompt_tokens", [CONTEXT - 2, CONTEXT - 1])
def test_a_prompt_that_leaves_room_is_answered_to_the_very_end(vllm: Client, prompt_tokens: int) -> None:
    status, answer = vllm.ask(
        COMPLETIONS, {**LONG, "prompt": [1] * prompt_tokens, "max_tokens": CONTEXT - prompt_tokens}
    )
    assert status == 200, answer
    assert answer["usage"]["total_tokens"] == CONTEXT


@pytest.mark.parametrize("share", [0.3, 0.99], ids=["in the head", "in the body"])
def test_a_client_that_leaves_before_it_has_asked_is_forgotten(vllm: Client, share: float) -> None:
    before = vllm.metric(TOKENS)
    send_part(vllm, COMPLETIONS, LONG, share)
    assert vllm.metric(TOKENS) == before


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_byte_takes_its_answer_with_it(vllm: Client, stream: bool) -> None:
    before = vllm.metric(TOKENS)
    connection = send(vllm, COMPLETIONS, {**LONG, "stream": stream})
    wait_for_engine(lambda: vllm.metric(RUNNING) == 1, "the request's begin")
    connection.close()
    wait_for_engine(lambda: vllm.metric(RUNNING) == 0, "its end")
    assert vllm.metric(TOKENS) - before < LONG["max_tokens"]


def test_a_client_that_leaves_a_stream_takes_its_answer_with_it(vllm: Client) -> None:
    before = vllm.metric(TOKENS)
    events = vllm.stream(COMPLETIONS, LONG)
    next(events)
    events.close()  # type: ignore[attr-defined]
    wait_for_engine(lambda: vllm.metric(RUNNING) == 0, "its end")
    assert vllm.metric(TOKENS) - before < LONG["max_tokens"]


def test_a_slow_reader_holds_up_nobody_and_gets_everything(vllm: Client, first_answer: list[int]) -> None:
    def wait() -> None:
        wait_for_engine(lambda: vllm.metric(RUNNING) == 1, "the request's begin")
        assert answer(vllm) == first_answer
        wait_for_engine(lambda: vllm.metric(RUNNING) == 0, "its end, though nobody reads")

    received = read_late(vllm, COMPLETIONS, {**LONG, "return_token_ids": True}, wait)
    events = [json.loads(line[6:]) for line in received.splitlines() if line.startswith(b"data: {")]
    assert sum(len(choice["token_ids"]) for event in events for choice in event["choices"]) == LONG["max_tokens"]
    assert b"data: [DONE]" in received


def test_a_thousand_connections_that_say_nothing_change_nothing(vllm: Client, first_answer: list[int]) -> None:
    with silent(vllm, 1000):
        assert answer(vllm) == first_answer
