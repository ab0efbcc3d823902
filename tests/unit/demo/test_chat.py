"""`qwen-runtime chat` as a person at a terminal uses it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import main

from tests.support.ports import free_port
from tests.support.web import Quiet, served

KEY = "sk-good"


class Endpoint(Quiet):
    """Answers with the number of messages that it was sent; a question that says `break` gets half an answer."""

    questions: list[dict[str, Any]]

    def do_GET(self) -> None:
        self._json(200, {"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self._json(401, {"error": {"message": "The API key is not known."}})
            return
        self.questions.append(question)
        self.send_response(200)
        self.end_headers()
        for piece in (f"{len(question['messages'])}", " messages"):
            self.wfile.write(b": a comment keeps the connection alive\n\n")
            self.wfile.write(f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode())
        if question["messages"][-1]["content"] != "break":
            self.wfile.write(b'data: {"choices": []}\n\ndata: [DONE]\n\n')

    def _json(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    Endpoint.questions = []
    with served(Endpoint) as port:
        yield f"http://127.0.0.1:{port}/v1"


def test_one_question_is_asked_of_the_first_model(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--system", "Be short.", "--max-tokens", "5", "--temperature", "0"]
    assert main(["chat", "hello", "--endpoint", endpoint, *flags]) == 0
    assert capsys.readouterr().out == "2 messages\n"
    [question] = Endpoint.questions
    assert (question["model"], question["stream"]) == ("tiny", True)
    assert (question["max_tokens"], question["temperature"]) == (5, 0)


def test_a_conversation_keeps_its_history_until_it_is_told_to_forget(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n/new\nthree\n/quit\nnever\n"))
    assert main(["chat", "--endpoint", endpoint]) == 0
    assert [[m["content"] for m in question["messages"]] for question in Endpoint.questions] == [
        ["one"],
        ["one", "1 messages", "two"],
        ["three"],
    ]
    assert "3 messages" in capsys.readouterr().out


def test_a_broken_answer_is_said_to_be_and_not_remembered(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("break\nagain\n"))
    assert main(["chat", "--endpoint", endpoint]) == 0
    assert "broke the answer off" in capsys.readouterr().err
    assert len(Endpoint.questions[-1]["messages"]) == 1


def test_a_refused_key_shows_the_endpoints_own_words(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("sk-bad\n")
    assert main(["chat", "hello", "--endpoint", endpoint, "--api-key-file", str(tmp_path / "key")]) == 2
    assert "answered 401: The API key is not known." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--endpoint", f"http://127.0.0.1:{free_port()}/v1"], 4, "does not answer"),
        (["--endpoint", "localhost:8080"], 2, "http://HOST:PORT/v1"),
        (["--api-key-file", "/nonexistent"], 2, "a file with an API key"),
    ],
)
def test_a_wrong_address_or_key_file_is_named(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "hello", *arguments]) == code
    assert message in capsys.readouterr().err
