"""The bad requests and clients of tests/engines/vllm, sent to the served image through the gateway."""

from __future__ import annotations

import pytest

from tests.support.client import COMPLETIONS, Client, Json
from tests.support.pods import Pods
from tests.support.rude_clients import send, send_part
from tests.support.vllm_requests import A_MEGABYTE, KNOWN_FAILURES, NO_REQUEST, REFUSED, TAKEN
from tests.support.waiting import wait_for_engine

LONG: Json = {"prompt": "x", "max_tokens": 1500, "ignore_eos": True}
RUNNING, TOKENS = "vllm:num_requests_running", "vllm:generation_tokens_total"


def label(value: object) -> str:
    return str(value)[:40].encode("unicode_escape").decode()


@pytest.mark.parametrize(
    ("path", "body"), [question for question in REFUSED if A_MEGABYTE not in str(question)], ids=label
)
def test_what_an_engine_refuses_is_answered(served: Client, path: str, body: Json) -> None:
    """This model has another template and a longer context than that engine, and takes some of it.

    What is too large for the gateway does not come so far; tests/pulumi has it.
    """
    status, answer = served.ask(path, {"max_tokens": 1, **body})
    assert status in (200, 400), answer
    # The gateway refuses by itself a model name that it and an engine could read differently.
    assert status == 200 or answer["error"]["code"] in (400, "unclear_model")


@pytest.mark.parametrize("raw", NO_REQUEST, ids=lambda raw: repr(raw[:20]))
def test_a_body_that_is_no_request_is_refused(served: Client, raw: bytes) -> None:
    assert served.exchange(COMPLETIONS, raw=raw)[0] == 400


@pytest.mark.parametrize(("path", "body"), TAKEN, ids=label)
def test_strange_text_is_text(served: Client, path: str, body: Json) -> None:
    assert served.ask(path, {**body, "max_tokens": 1})[0] == 200


@pytest.mark.parametrize(("reason", "path", "body"), KNOWN_FAILURES, ids=label)
def test_a_known_failure_of_vllm_ends_no_engine(served: Client, reason: str, path: str, body: Json) -> None:
    assert served.ask(path, {**body, "max_tokens": 1})[0] == 500, reason


@pytest.mark.parametrize("share", [0.3, 0.99], ids=["in the head", "in the body"])
def test_a_client_that_leaves_before_it_has_asked_is_forgotten(served: Client, share: float) -> None:
    send_part(served, COMPLETIONS, LONG, share)


def test_a_client_that_leaves_a_stream_takes_its_answer_with_it(served: Client, pods: Pods) -> None:
    """A client that does not stream leaves unseen: the gateway hands its request on and waits for the whole answer."""
    before = pods.metric(TOKENS)
    connection = send(served, COMPLETIONS, {**LONG, "stream": True})
    wait_for_engine(lambda: pods.metric(RUNNING) == 1, "the request's begin")
    connection.close()
    wait_for_engine(lambda: pods.metric(RUNNING) == 0, "its end")
    assert pods.metric(TOKENS) - before < LONG["max_tokens"]
