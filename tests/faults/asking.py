"""Requests to the lab's gateway: one after the other, many at once, and connections that only wait."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from lab.machine import ports
from lab.paths import API_KEY

PATIENCE_S = 300


def ask(path: str, times: int, body: dict[str, Any] | None = None) -> list[int]:
    """Statuses of as many requests over one connection."""
    headers = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "Content-Type": "application/json"}
    statuses = []
    with closing(http.client.HTTPConnection("127.0.0.1", ports.GATEWAY, timeout=PATIENCE_S)) as connection:
        for _ in range(times):
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            with connection.getresponse() as answer:
                answer.read()
            statuses.append(answer.status)
    return statuses


def chat(model: str, times: int, prompt: str = "Hello") -> list[int]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 2}
    return ask("/v1/chat/completions", times, body)


@contextmanager
def crowd(model: str, users: int, words: int) -> Iterator[None]:
    """Many users who send one long prompt after the other, each of them new, until the block ends."""
    enough = threading.Event()

    def use(user: int) -> set[int]:
        statuses: set[int] = set()
        turn = 0
        while not enough.is_set():
            statuses.update(chat(model, 1, f"{user} {turn} " + "word " * words))
            turn += 1
        return statuses

    with ThreadPoolExecutor(users) as pool:
        answers = [pool.submit(use, user) for user in range(users)]
        try:
            yield
        finally:
            enough.set()
    assert {status for answer in answers for status in answer.result()} == {200}


class Connections:
    """Connections to the gateway over which nothing is asked."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def open(self, number: int) -> None:
        for _ in range(number):
            self._held.enter_context(socket.create_connection(("127.0.0.1", ports.GATEWAY), 10))

    def close(self) -> None:
        self._held.close()
