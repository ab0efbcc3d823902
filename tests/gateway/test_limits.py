"""The limits of keys at two real gateways that ask one limiter."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import limits_site
from .limits_site import SECOND, Pair
from .site import CHAT, KEY, ONE, Answer, Site, eventually, needs_envoy

pytestmark = needs_envoy
# Limits that are not those of one key.
WHOLE = ("queueRequests", "queueSeconds", "requestsPerReplica", "keys")


@pytest.fixture
def pair(tmp_path: Path, settings: Any, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two gateways with the limits that the test's parameter gives, for every key where nothing else is said."""
    given = getattr(request, "param", {})
    whole = {name: given[name] for name in WHOLE if name in given}
    default = {name: value for name, value in given.items() if name not in WHOLE}
    with limits_site.running(tmp_path, settings.gateway, default=default, **whole) as here:
        yield here


def limited(**limits: Any) -> Any:
    return pytest.mark.parametrize("pair", [limits], indirect=True, ids=[next(iter(limits), "none")])


def flood(pair: Pair, count: int, body: Any) -> list[Answer]:
    """Requests to both gateways in turn, all at once."""
    answers: list[Answer] = []
    sites = [(pair.one, pair.two)[number % 2] for number in range(count)]
    askers = [threading.Thread(target=lambda site=site: answers.append(site.ask(CHAT, body))) for site in sites]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return answers


@contextlib.contextmanager
def streaming(site: Site, body: Any, key: str = KEY, timeout_s: float = 30) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {key}"})
        yield connection.getresponse()


@contextlib.contextmanager
def leaving(site: Site) -> Iterator[None]:
    """A request whose client leaves before its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", CHAT, b'{"stream": true}', {"Authorization": f"Bearer {KEY}"})
        yield


@limited(requestsPerMinute=10)
def test_both_gateways_together_admit_as_many_requests_as_the_key_has(pair: Pair) -> None:
    answers = flood(pair, 24, {})
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 14
    assert pair.one.ask(CHAT, {}, key=SECOND).status == 200, "another key has its own"


@limited(requestsPerMinute=2)
def test_a_refusal_is_openais_with_the_time_to_come_again(pair: Pair) -> None:
    first = pair.one.ask(CHAT, {})
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert pair.two.ask(CHAT, {}).headers["x-ratelimit-remaining-requests"] == "0"
    refusal = pair.one.ask(CHAT, {})
    assert refusal.status == 429
    assert 50 < int(refusal.headers["retry-after"]) <= 60
    assert refusal.headers["x-ratelimit-remaining-requests"] == "0"
    assert refusal.headers["x-ratelimit-reset-requests"].endswith("s")
    assert refusal.headers["content-type"] == "application/json"
    assert refusal.json["error"]["code"] == "rate_limit_exceeded"
    assert set(refusal.json["error"]) == {"message", "type", "param", "code"}
    assert "2 requests per minute" in refusal.json["error"]["message"]


@limited(inFlight=2, queueRequests=0)
def test_a_key_has_no_more_requests_in_flight_than_it_may_at_both_gateways(pair: Pair) -> None:
    with streaming(pair.one, {"stream": True}) as first, streaming(pair.two, {"stream": True}) as second:
        first.readline()
        second.readline()
        assert pair.in_flight() == 2
        assert pair.one.ask(CHAT, {}).status == 429
        assert pair.two.ask(CHAT, {}).status == 429
        assert pair.two.ask(CHAT, {}, key=SECOND).status == 200
        assert b"[DONE]" in first.read()
        second.read()
    eventually(lambda: pair.in_flight() == 0)
    assert pair.one.ask(CHAT, {}).status == 200


@limited(inFlight=1, queueRequests=0)
def test_a_client_that_leaves_frees_what_it_had(pair: Pair) -> None:
    for _ in range(3):
        with streaming(pair.one, {"stream": True}) as response:
            assert response.status == 200
            response.readline()
        eventually(lambda: pair.in_flight() == 0)
    [(labels, count)] = [item for item in pair.series("qwen_limits_requests_total").items() if "estimated" in item[0]]
    assert ('key="default"' in labels, count) == (True, 3)


@limited(inFlight=1, queueRequests=0)
def test_a_killed_gateway_frees_what_it_had_once_it_is_back(pair: Pair) -> None:
    with streaming(pair.one, {"stream": True}) as response:
        response.readline()
        pair.one.running[1].kill()
        pair.one.running[1].wait()
        assert pair.two.ask(CHAT, {}).status == 429
    pair.start_gateway(pair.one)
    eventually(lambda: pair.one.ask(CHAT, {}).status == 200)


def test_tokens_of_answers_and_of_streams_are_counted_by_key(pair: Pair) -> None:
    assert pair.one.ask(CHAT, {}).status == 200
    assert pair.two.ask(CHAT, {}, key=SECOND).status == 200
    with streaming(pair.two, {"stream": True}) as response:
        response.read()

    def tokens(key: str, kind: str) -> int:
        found = pair.series("qwen_limits_tokens_total").items()
        return sum(count for labels, count in found if f'key="{key}"' in labels and f'kind="{kind}"' in labels)

    eventually(lambda: tokens("default", "prompt") == 200)
    assert (tokens("default", "cached"), tokens("default", "generated")) == (120, 24)
    assert (tokens("second", "prompt"), tokens("second", "generated")) == (100, 20)
    labels = list(pair.series("qwen_limits_tokens_total"))
    assert all('model="tiny"' in label for label in labels)

    def logged() -> list[str]:
        return sorted(entry["tokens"] for entry in (*pair.one.requests, *pair.two.requests) if entry["path"] == CHAT)

    eventually(lambda: logged() == ["100 60 20", "100 60 20", "100 60 4"])


def test_a_stream_shows_its_usage_to_those_who_asked_alone(pair: Pair) -> None:
    for body, shown in (
        ({"stream": True}, False),
        ({"stream": True, "stream_options": None}, False),
        ({"stream": True, "stream_options": {"include_usage": False, "other": 1}}, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
    ):
        with streaming(pair.one, body) as response:
            events = [line for line in response.read().decode().split("\n\n") if line]
        assert events[-1] == "data: [DONE]", body
        assert len(events) == 4 + shown + 1, body
        assert ("usage" in events[-2]) is shown, body


@limited(requestsPerMinute=2)
def test_other_paths_that_generate_are_counted_and_those_that_do_not_are_free(pair: Pair) -> None:
    assert [pair.one.ask("/tokenize", {}).status for _ in range(3)] == [200] * 3
    assert pair.one.ask("/v1/unknown", {}).status == 404
    assert pair.one.ask("/v1/responses", {}).status == 200
    assert b"response.completed" in pair.two.ask("/v1/responses", {"stream": True}).body
    assert pair.one.ask(CHAT, {}).status == 429
    eventually(lambda: sum(pair.series("qwen_limits_tokens_total").values()) == 2 * (100 + 60 + 20))


@limited(requestsPerMinute=3)
def test_limits_change_without_a_restart_and_a_wrong_file_changes_nothing(pair: Pair) -> None:
    assert [pair.one.ask(CHAT, {}).status for _ in range(4)] == [200, 200, 200, 429]
    pair.file.write_text('{"default": {"requests_per_minute": 0}}')
    eventually(lambda: "requests_per_minute is 0" in pair.one.log.read_text())
    assert pair.one.ask(CHAT, {}).status == 429
    pair.write_limits(keys={"default": {"requestsPerMinute": 5}})
    eventually(lambda: pair.one.ask(CHAT, {}).status == 200)
    assert pair.one.ask(CHAT, {}).status == 200
    assert pair.one.ask(CHAT, {}).status == 429


@limited(requestsPerMinute=8)
def test_without_the_limiter_each_gateway_admits_its_share_and_cuts_no_stream(pair: Pair) -> None:
    with streaming(pair.one, {"stream": True}) as response:
        response.readline()
        pair.stop_limiter()
        assert b"[DONE]" in response.read()
    eventually(lambda: pair.knows_the_limiter(pair.one, healthy=False))
    eventually(lambda: pair.knows_the_limiter(pair.two, healthy=False))
    answers = flood(pair, 24, {})
    admitted = sum(answer.status == 200 for answer in answers)
    # Two minutes may meet in the test.
    assert 1 < admitted <= 2 * 8
    [refusal, *_] = [answer for answer in answers if answer.status == 429]
    assert 0 < int(refusal.headers["retry-after"]) <= 60
    assert refusal.json["error"]["code"] == "rate_limit_exceeded"
    pair.start_limiter()
    eventually(lambda: pair.knows_the_limiter(pair.one))
    assert pair.one.ask(CHAT, {}).headers["x-ratelimit-limit-requests"] == "8"
    # What ended while it was away is told to it now, and billed.
    eventually(lambda: sum(pair.series("qwen_limits_requests_total").values()) >= admitted)


@limited(tokensPerMinute=2000)
def test_tokens_are_reserved_at_once_and_corrected_by_what_was_used(pair: Pair) -> None:
    answers = flood(pair, 6, {"stream": True, "max_tokens": 900})
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429, 429]
    # Each used 104 of its 900.
    eventually(lambda: pair.in_flight() == 0)
    assert pair.one.ask(CHAT, {"max_tokens": 900}).headers["x-ratelimit-limit-tokens"] == "2000"
    too_large = pair.one.ask(CHAT, {"max_tokens": 3000})
    assert (too_large.status, too_large.headers["x-should-retry"]) == (429, "false")
    assert "2000 tokens per minute" in too_large.json["error"]["message"]


@limited(inFlight=2)
def test_a_request_above_what_is_in_flight_waits_for_its_turn(pair: Pair) -> None:
    answers = flood(pair, 8, {"stream": True})
    assert [answer.status for answer in answers] == [200] * 8
    assert all(b"[DONE]" in answer.body for answer in answers)
    assert sum(pair.series("qwen_limits_waited_seconds_total").values()) > 0


@limited(inFlight=1, queueSeconds=1)
def test_a_request_that_waits_too_long_is_refused(pair: Pair) -> None:
    pair.one.models[ONE].terminate()
    pair.one.models[ONE].wait()
    pair.one.add_model(ONE, tokens=30, token_delay=0.1)
    eventually(lambda: pair.one.model_servers() == 1)
    with streaming(pair.one, {"stream": True}) as response:
        response.readline()
        refusal = pair.two.ask(CHAT, {})
        assert (refusal.status, refusal.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(refusal.headers["retry-after"]) >= 1
        assert "1 requests in flight" in refusal.json["error"]["message"]
        assert b"[DONE]" in response.read()


@limited(inFlight=1)
def test_a_client_that_leaves_while_it_waits_takes_no_turn(pair: Pair) -> None:
    with streaming(pair.one, {"stream": True}) as response:
        response.readline()
        with leaving(pair.two):
            eventually(lambda: sum(pair.series("qwen_limits_waiting").values()) == 1)
        eventually(lambda: sum(pair.series("qwen_limits_waiting").values()) == 0)
        response.read()
    eventually(lambda: pair.in_flight() == 0)
    assert pair.one.ask(CHAT, {}).status == 200
    assert sum(pair.series("qwen_limits_requests_total").values()) <= 2


@limited(requestsPerReplica={"tiny": 8}, keys={"default": {"class": "batch"}, "second": {}})
def test_a_key_that_floods_keeps_nobody_from_a_place(pair: Pair) -> None:
    flooding = threading.Thread(target=lambda: flood(pair, 40, {"stream": True}))
    flooding.start()
    eventually(lambda: sum(pair.series("qwen_limits_waiting").values()) > 20)
    with streaming(pair.one, {"stream": True}, key=SECOND) as response:
        response.readline()
        waiting = pair.series("qwen_limits_waiting")
        assert waiting.get('key="second"', 0) == 0
        assert waiting['key="default"'] > 0
        assert pair.in_flight() <= 8
        response.read()
    flooding.join()


@limited(requestsPerMinute=1000)
def test_a_limiter_that_hangs_holds_no_request(pair: Pair) -> None:
    assert pair.limiter
    pair.limiter.send_signal(signal.SIGSTOP)
    try:
        with streaming(pair.one, {}, timeout_s=15) as answer:
            assert answer.status == 200
    finally:
        pair.limiter.send_signal(signal.SIGCONT)
