"""Each request is a line in the engine's log, by the gateway's id and without a word of what was said."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from qwen_runtime.engine import request_log
from qwen_runtime.serve import journal

ID = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SENT = [(b"x-request-id", ID.encode()), (b"traceparent", TRACE.encode()), (b"authorization", b"Bearer a-key")]


def lines(
    capfd: pytest.CaptureFixture[str], headers: list[Any] = SENT, path: str = "/v1/completions", fails: bool = False
) -> list[str]:
    """Lines that one request leaves in the container's log."""

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise RuntimeError("the engine failed")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"text": "a-secret-answer"}'})

    async def client(message: Any) -> None:
        """The client reads nothing."""

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"q=a-secret-prompt", "headers": headers}
    answer = request_log.RequestLog(server)(scope, None, client)  # type: ignore[arg-type]
    if fails:
        with pytest.raises(RuntimeError):
            asyncio.run(answer)
    else:
        asyncio.run(answer)
    journal.pass_through(io.BytesIO(capfd.readouterr().out.encode()), lambda _: None)
    return capfd.readouterr().out.splitlines()


def test_a_request_is_one_line_with_the_gateways_id_and_the_clients_trace(capfd: pytest.CaptureFixture[str]) -> None:
    [line] = lines(capfd)
    entry = json.loads(line)
    assert (entry["source"], entry["event"], entry["request_id"], entry["traceparent"]) == (
        "engine",
        "request",
        ID,
        TRACE,
    )
    assert (entry["path"], entry["status"], entry["message"]) == ("/v1/completions", 200, "POST /v1/completions 200")
    assert entry["total_ms"] >= 0
    assert not {word for word in ("a-secret", "a-key") if word in line}


def test_an_answer_that_failed_has_its_line_too(capfd: pytest.CaptureFixture[str]) -> None:
    [line] = lines(capfd, fails=True)
    assert json.loads(line)["status"] == 0


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_probes_leave_no_line(capfd: pytest.CaptureFixture[str], path: str) -> None:
    assert lines(capfd, path=path) == []


@pytest.mark.parametrize("value", [b"x" * 10_000, b'", "source": "supervisor', b"\xff\n{}"])
def test_what_a_client_makes_up_is_left_out(capfd: pytest.CaptureFixture[str], value: bytes) -> None:
    [line] = lines(capfd, [(b"x-request-id", value), (b"traceparent", value)])
    entry = json.loads(line)
    assert entry["source"] == "engine"
    assert not {"request_id", "traceparent"} & entry.keys()


def test_any_other_line_of_an_engine_is_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["INFO: started", '{"event": "request", broken', '{"source": "supervisor"}']
    journal.pass_through(io.BytesIO("\n".join(texts).encode()), lambda _: None)
    entries = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(entry["source"], entry["message"]) for entry in entries] == [("engine", text) for text in texts]
