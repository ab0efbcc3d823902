"""A client that sees every detail of an answer."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

from tests.support.waiting import ENGINE_PATIENCE_S, PATIENCE_S

Json = dict[str, Any]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def get(port: int, path: str, method: str = "GET", timeout_s: float = PATIENCE_S) -> tuple[int, str]:
    """Status and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


class Client:
    def __init__(self, port: int, api_key: str = "") -> None:
        self.port = port
        self.headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        }

    def ask(self, path: str, body: object = None, *, raw: bytes | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer; a request with a body is a POST."""
        status, _, text = self.exchange(path, body, raw=raw)
        return status, json.loads(text)

    def exchange(self, path: str, body: object = None, *, raw: bytes | None = None) -> tuple[int, Any, bytes]:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ENGINE_PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST" if data is not None else "GET", path, data, self.headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def stream(self, path: str, body: Json) -> Iterator[Json | str]:
        """Events as they arrive: JSON, and "[DONE]". Closing the iterator closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ENGINE_PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps({**body, "stream": True}), self.headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            with contextlib.closing(response):
                for line in response:
                    if line.startswith(b"data: "):
                        data = line.removeprefix(b"data: ").strip().decode()
                        yield data if data == "[DONE]" else json.loads(data)

    def answers(self, path: str) -> bool:
        try:
            return self.exchange(path)[0] == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = self.exchange("/metrics")[2].decode().splitlines()
        samples = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.split()[-1]) for line in samples if all(label in line for label in wanted))
