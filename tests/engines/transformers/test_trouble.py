"""Clients that leave, wait, crowd or say nothing, and an engine that dies: the next good request is answered, or the
process ends with the reason."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import COMPLETIONS, Client, Json
from tests.support.oracle import CONTEXT, Serve
from tests.support.rude_clients import read_late, send, silent
from tests.support.waiting import ENGINE_PATIENCE_S, wait_for_engine

SHORT: Json = {"prompt": "x", "max_tokens": 1}
LONG: Json = {"prompt": "x", "max_tokens": CONTEXT - 1, "ignore_eos": True}
RUNNING, WAITING = "transformers:num_requests_running", "transformers:num_requests_waiting"


def aborted(client: Client) -> float:
    return client.metric("transformers:request_success_total", finished_reason="abort")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_takes_its_answer_with_it(idle: Client, stream: bool) -> None:
    before = aborted(idle)
    connection = send(idle, COMPLETIONS, {**LONG, "stream": stream})
    wait_for_engine(lambda: idle.metric(RUNNING) == 1, "the request's begin")
    connection.close()
    wait_for_engine(lambda: aborted(idle) == before + 1, "the cancellation")
    assert idle.metric("transformers:kv_cache_reserved_perc") == 0
    assert idle.ask(COMPLETIONS, SHORT)[0] == 200


def test_a_client_that_leaves_after_the_first_event_takes_its_answer_with_it(idle: Client) -> None:
    before = aborted(idle)
    events = idle.stream(COMPLETIONS, LONG)
    next(events)
    events.close()  # type: ignore[attr-defined]
    wait_for_engine(lambda: aborted(idle) == before + 1, "the cancellation")


def test_a_client_that_leaves_the_queue_gives_its_place_back(idle: Client) -> None:
    before = aborted(idle)
    connections = [send(idle, COMPLETIONS, {**LONG, "stream": stream}) for stream in (True, True, True, False)]
    wait_for_engine(lambda: (idle.metric(RUNNING), idle.metric(WAITING)) == (2, 2), "two that run and two that wait")
    for connection in reversed(connections):
        connection.close()
    wait_for_engine(lambda: aborted(idle) == before + 4, "the end of all four")
    assert (idle.metric(RUNNING), idle.metric(WAITING)) == (0, 0)


def test_a_crowd_is_answered_or_told_to_come_back(idle: Client) -> None:
    with ThreadPoolExecutor(16) as threads:
        crowd = list(
            threads.map(lambda _: idle.exchange(COMPLETIONS, {**LONG, "max_tokens": CONTEXT // 2 - 1}), range(16))
        )
    statuses = [status for status, _, _ in crowd]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 8, "what runs and what waits"
    for status, headers, body in crowd:
        if status == 429:
            assert int(headers["Retry-After"]) >= 1
            assert json.loads(body)["error"]["type"] == "RateLimitError"
    assert idle.ask(COMPLETIONS, SHORT)[0] == 200


def test_a_small_request_behind_a_large_one_is_answered_in_its_turn(idle: Client) -> None:
    with ThreadPoolExecutor(4) as threads:
        large = [threads.submit(idle.ask, COMPLETIONS, LONG) for _ in range(3)]
        wait_for_engine(lambda: idle.metric(WAITING) == 1, "one that waits")
        assert idle.ask(COMPLETIONS, SHORT)[0] == 200
        assert [future.result()[0] for future in large] == [200, 200, 200]


def test_a_slow_reader_holds_up_nobody_and_gets_everything(idle: Client) -> None:
    def wait() -> None:
        wait_for_engine(lambda: idle.metric(RUNNING) == 1, "the request's begin")
        wait_for_engine(lambda: idle.metric(RUNNING) == 0, "its end, though nobody reads")

    received = read_late(idle, COMPLETIONS, {**LONG, "logprobs": 5}, wait)
    assert received.rstrip().endswith(b"data: [DONE]\n\n\r\n0") or b"data: [DONE]" in received[-200:]
    events = [json.loads(line[6:]) for line in received.splitlines() if line.startswith(b"data: {")]
    tokens = itertools.chain.from_iterable(
        choice["logprobs"]["tokens"] for event in events for choice in event["choices"] if choice["logprobs"]
    )
    assert len(list(tokens)) == CONTEXT - 1


def test_a_thousand_connections_that_say_nothing_change_nothing(client: Client) -> None:
    with silent(client, 1000):
        assert client.ask(COMPLETIONS, SHORT)[0] == 200


@pytest.fixture(scope="module")
def hurried(serve: Serve) -> Client:
    """A server whose requests may take half a second."""
    return serve("--request-timeout-s", "0.5", "--max-batch-tokens", "1")[1]


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_takes_too_long_ends_with_the_reason(hurried: Client, stream: bool) -> None:
    body = {**LONG, "prompt": [1] * (CONTEXT - 1), "max_tokens": 1}  # one token of the prompt a step
    if stream:
        *_, error, done = hurried.stream(COMPLETIONS, body)
        assert isinstance(error, dict)
        assert done == "[DONE]"
    else:
        status, error = hurried.ask(COMPLETIONS, body)
        assert status == 504
    assert error["error"]["code"] == 504
    assert "0.5 s" in error["error"]["message"]
    wait_for_engine(lambda: hurried.metric("transformers:kv_cache_reserved_perc") == 0, "the place given back")
    wait_for_engine(lambda: hurried.ask(COMPLETIONS, SHORT)[0] == 200, "an answer in time")


def test_sigterm_lets_streams_end_and_then_the_process(serve: Serve) -> None:
    process, client = serve()
    events = client.stream(COMPLETIONS, LONG)
    first = next(events)
    process.process.send_signal(signal.SIGTERM)
    rest = list(events)
    assert isinstance(first, dict)
    assert rest[-1] == "[DONE]"
    assert rest[-2]["choices"][0]["finish_reason"] == "length"
    assert process.process.wait(ENGINE_PATIENCE_S) == 0, process.log()


def test_a_dead_engine_fails_its_requests_and_ends_the_process_with_the_reason(serve: Serve) -> None:
    process, client = serve(sabotage=Path(__file__).with_name("sabotage.py"))
    assert client.ask(COMPLETIONS, SHORT)[0] == 200
    answers: list[Any] = []
    beside = threading.Thread(target=lambda: answers.append(last_event(client.stream(COMPLETIONS, LONG))))
    beside.start()
    wait_for_engine(lambda: client.metric(RUNNING) == 1, "a request beside the fatal one")
    status, answer = client.ask(COMPLETIONS, {**SHORT, "seed": 666, "temperature": 1})
    beside.join()
    assert status == 500
    assert "sabotaged" in answer["error"]["message"]
    assert "sabotaged" in answers[0]["error"]["message"]
    assert process.process.wait(ENGINE_PATIENCE_S) == 5
    assert "continuous batching died: RuntimeError: sabotaged" in process.log()


def last_event(events: Iterator[Any]) -> Any:
    return [event for event in events if event != "[DONE]"][-1]
