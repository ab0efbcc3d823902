"""`qwen-runtime warm` asks an engine for each kind of request, and says what was slow, refused or broken."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from qwen_runtime.warm import kinds

from tests.support.processes import SOURCE

COMPILES_S = 0.3


class Server(ThreadingHTTPServer):
    """An engine that compiles at the first logprobs, has no tools, and fails in one field."""

    daemon_threads = True

    def __init__(self, broken: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.broken, self.compiled = broken, False
        self.bodies: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "other"}, {"id": "m", "max_model_len": 2048}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if "tools" in body:
            self._answer(400, {"error": {"message": "no parser of calls"}})
        elif self.server.broken in body:
            self._answer(500, {"error": {"message": "no compiler"}})
        elif "logprobs" in body and "messages" in body and not self.server.compiled:
            self.server.compiled = True
            time.sleep(COMPILES_S)
            self._answer(200, {})
        else:
            self._answer(200, {})

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def engine(broken: str | None = None) -> Iterator[tuple[Server, str]]:
    with Server(broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def warm(endpoint: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qwen_runtime", "warm", "--endpoint", endpoint, "--model", "m", *flags]
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(command, env={"PYTHONPATH": str(SOURCE), **proxy}, capture_output=True, text=True)


def test_each_kind_is_asked_twice_and_what_the_first_one_waited_for_is_told() -> None:
    with engine() as (server, endpoint):
        done = warm(endpoint)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(kinds.of(2048)) + 1
    [slow] = [line for line in lines if line.startswith("logprobs  ")]
    first_s, _again_s = map(float, re.findall(r"([\d.]+) s", slow))
    assert first_s >= COMPILES_S
    assert sum("top_logprobs" in body for body in server.bodies) == 2
    assert [line.split("refused: ")[1] for line in lines if "refused: " in line] == ["400 no parser of calls"] * 2
    assert "m is warm" in lines[-1]
    assert "2 refused" in lines[-1]
    assert {body["model"] for body in server.bodies} == {"m"}
    told = {key for body in server.bodies for key in body}
    assert told >= {"top_p", "top_k", "min_p", "seed", "logprobs", "echo", "response_format", "tools", "stream"}


def test_prompts_are_as_long_as_the_context_lets_them_be_and_none_begins_like_another() -> None:
    with engine() as (server, endpoint):
        warm(endpoint)
    prompts = [body["prompt"] for body in server.bodies if isinstance(body.get("prompt"), list)]
    assert sorted({len(prompt) for prompt in prompts}) == [1, 64, 512, 2048 - kinds.ANSWER_TOKENS]
    beginnings = [tuple(prompt[:16]) for prompt in prompts if len(prompt) > 1]
    assert len(set(beginnings)) == len(beginnings), "a prefix cache would answer in place of the engine"
    with engine() as (server, endpoint):
        warm(endpoint, "--longest-prompt", "100")
    assert max(len(body["prompt"]) for body in server.bodies if isinstance(body.get("prompt"), list)) == 100


def test_an_engine_that_fails_in_one_kind_ends_the_command_with_that_kind() -> None:
    with engine("response_format") as (_, endpoint):
        done = warm(endpoint)
    assert done.returncode == 5
    assert "found:  an answer by a schema: 500 no compiler" in done.stderr


@pytest.mark.parametrize(
    ("model", "code", "found"), [("absent", 2, "serves other, m"), ("m", 4, "is no list of models")]
)
def test_an_endpoint_without_the_model_is_named(model: str, code: int, found: str) -> None:
    with engine() as (_, endpoint):
        address = endpoint if code == 2 else "http://127.0.0.1:9/v1"
        done = warm(address, "--model", model)
    assert done.returncode == code
    assert found in done.stderr


@pytest.mark.parametrize("context_tokens", [None, 1, 9, 4096, 4104, 10**6])
def test_every_prompt_and_its_answer_fit_in_the_context(context_tokens: int | None) -> None:
    lengths = [kind.prompt_tokens for kind in kinds.of(context_tokens) if kind.prompt_tokens]
    assert lengths == sorted(set(lengths))
    assert lengths[0] == 1
    assert lengths[-1] == max(1, min(kinds.LONGEST, (context_tokens or 4104) - kinds.ANSWER_TOKENS))
    names = [kind.name for kind in kinds.of(context_tokens)]
    assert len(set(names)) == len(names)
    assert all(list(kind.bodies("m", random.Random(0))) for kind in kinds.of(context_tokens))
