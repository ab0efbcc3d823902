"""The limiter's answers to what gateways ask and tell."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_runtime.errors import UsageError
from qwen_runtime.limits import answers, rules
from qwen_runtime.limits.forward import MOST_BYTES, Messages, Unreadable
from qwen_runtime.limits.limiter import HOLD_S, Answer, Limiter

HEADERS = {"x-gateway": "one:1", "x-key": "team", "x-model": "m", "x-body-bytes": "30", "x-answer-tokens": "10"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"default": {"tokens_per_minute": 100}}))
    return path


@pytest.fixture
def limiter(file: Path) -> Limiter:
    return Limiter(file, lambda: 0.0, lambda _: None)


def asked(limiter: Limiter, name: str, **headers: str) -> int:
    """Status of the answer, or 0 if the request waits."""
    replies: list[Answer] = []
    limiter.ask({**HEADERS, "x-request-id": name, **headers}, replies.append)
    return replies[0].status if replies else 0


def packed(value: Any) -> bytes:
    """MessagePack of what Envoy's log holds."""
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else struct.pack(">BH", 0xDA, len(text))) + text
    if isinstance(value, int):
        return struct.pack(">BI", 0xCE, value)
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(packed, value))
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(packed(one) for pair in value.items() for one in pair)
    return b"\xc0"


def message(*records: dict[str, Any]) -> bytes:
    return packed(["ends", [[1_700_000_000, record] for record in records]])


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=40), max_size=8), max_size=5), st.data())
def test_records_are_read_however_the_bytes_are_cut(records: list[dict[str, Any]], data: st.DataObject) -> None:
    stream = b"".join(message(record) for record in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    messages = Messages()
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [record for part in parts for record in messages.feed(part)] == records


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x01", b"\xa1x", b"\x92\xa1t\x01", b"\x93" + b"x" * (MOST_BYTES + 2)])
def test_bytes_that_are_no_such_message_are_refused(garbage: bytes) -> None:
    with pytest.raises(Unreadable):
        list(Messages().feed(garbage))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_in_another_way(garbage: bytes) -> None:
    with contextlib.suppress(Unreadable):
        list(Messages().feed(garbage))


def test_a_reservation_is_corrected_by_the_tokens_that_were_used(limiter: Limiter) -> None:
    assert [asked(limiter, name, **{"x-answer-tokens": "40"}) for name in "abc"] == [200, 200, 429]
    limiter.ended({"id": "a", "key": "team", "model": "m", "usage": "9 4 1", "status": 200})
    assert asked(limiter, "d", **{"x-answer-tokens": "20"}) == 200


def test_what_was_cut_is_charged_with_the_prompt_and_what_passed_and_what_was_refused_with_nothing(
    limiter: Limiter,
) -> None:
    common = {"key": "team", "model": "m", "bytes": "300", "usage": None, "limits": "asked"}
    limiter.ended({**common, "id": "cut", "events": "7", "status": 200})
    limiter.ended({**common, "id": "left", "events": None, "status": 0})
    limiter.ended({**common, "id": "refused", "events": None, "status": 400})
    text = limiter.metrics()
    assert 'qwen_limits_tokens_total{key="team",model="m",kind="prompt"} 200\n' in text
    assert 'qwen_limits_tokens_total{key="team",model="m",kind="generated"} 7\n' in text
    assert 'qwen_limits_requests_total{key="team",model="m",usage="estimated"} 2\n' in text
    assert 'qwen_limits_requests_total{key="team",model="m",usage="none"} 1\n' in text


def test_a_request_that_began_before_the_limiter_is_billed(limiter: Limiter) -> None:
    ended = {"key": "team", "model": "m", "usage": "5 0 2", "status": 200}
    limiter.ended({**ended, "id": "old", "limits": "asked"})
    limiter.ended({**ended, "id": "alone", "limits": "away"})
    limiter.ended({**ended, "id": "never", "limits": "refused"})
    assert 'kind="prompt"} 10\n' in limiter.metrics()


@pytest.mark.parametrize("header", ["x-request-id", "x-gateway", "x-key", "x-model", "x-body-bytes"])
def test_a_question_without_a_header_is_no_question(limiter: Limiter, header: str) -> None:
    headers = {**HEADERS, "x-request-id": "a"}
    del headers[header]
    replies: list[Answer] = []
    limiter.ask(headers, replies.append)
    assert [reply.status for reply in replies] == [400]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"default": {"in_flight": 0}}, "default.in_flight"),
        ({"default": {"in_flight": -1}}, "default.in_flight"),
        ({"default": {"in_flight": True}}, "default.in_flight"),
        ({"default": {"requests": 1}}, "default.requests"),
        ({"keys": {"a": {"klass": "vip"}}}, "keys.a.klass"),
        ({"keys": []}, "keys"),
        ({"requests_per_replica": {"m": 0}}, "requests_per_replica.m"),
        ({"answer_tokens": "1"}, "answer_tokens"),
        ([], "the file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path: Path, document: Any, key: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError) as refused:
        rules.read(path)
    assert f"{path}: {key} is " in refused.value.found


def test_a_file_that_became_wrong_leaves_the_limits_of_before(file: Path) -> None:
    lines: list[str] = []
    limiter = Limiter(file, lambda: 0.0, lines.append)
    file.write_text("{")
    limiter.tick()
    limiter.tick()
    assert len(lines) == 1
    assert "stay" in lines[0]
    assert asked(limiter, "a", **{"x-answer-tokens": "100"}) == 429
    file.write_text(json.dumps({}))
    limiter.tick()
    assert asked(limiter, "b", **{"x-answer-tokens": "100"}) == 200


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (1, "1s"), (59.2, "1m0s"), (60, "1m0s"), (90.5, "1m31s")]
)
def test_times_are_written_as_in_openais_headers(seconds: float, text: str) -> None:
    assert answers.duration(seconds) == text


def test_a_request_that_waits_is_asked_for_again_and_keeps_its_turn(file: Path) -> None:
    now_s = 0.0
    file.write_text(json.dumps({"default": {"in_flight": 1}, "queue_seconds": 5, "queue_requests": 1}))
    limiter = Limiter(file, lambda: now_s, lambda _: None)
    assert [asked(limiter, name) for name in "abc"] == [200, 0, 429]
    replies: list[Answer] = []
    headers = {**HEADERS, "x-request-id": "b"}
    assert limiter.ask(headers, replies.append) == "b"
    now_s = HOLD_S
    limiter.tick()
    assert [reply.status for reply in replies] == [202]
    limiter.ended({"id": "a", "key": "team", "status": 200, "limits": "asked"})
    assert [reply.status for reply in replies] == [202], "nobody asks now"
    assert asked(limiter, "b") == 200
    assert asked(limiter, "d") == 0
    now_s += 5
    assert limiter.ask({**HEADERS, "x-request-id": "d"}, replies.append) == "d"
    limiter.tick()
    assert replies[-1].status == 429


def test_a_client_that_leaves_the_line_gives_its_turn_to_the_next(file: Path) -> None:
    file.write_text(json.dumps({"default": {"in_flight": 1}, "queue_seconds": 5, "queue_requests": 9}))
    limiter = Limiter(file, lambda: 0.0, lambda _: None)
    replies: dict[str, list[Answer]] = {name: [] for name in "abcd"}
    for name, its in replies.items():
        limiter.ask({**HEADERS, "x-request-id": name}, its.append)
    limiter.left("b")
    limiter.ended({"id": "c", "limits": "asking"})
    limiter.ended({"id": "a", "key": "team", "status": 200, "limits": "asked"})
    assert {name: [reply.status for reply in its] for name, its in replies.items()} == {
        "a": [200],
        "b": [],
        "c": [],
        "d": [200],
    }
