"""Requests to the lab's gateway, one after the other over one connection."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
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
