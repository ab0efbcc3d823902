"""Answers to a gateway: the state of a key's limits in OpenAI's headers, and refusals in the shape of its errors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from qwen_runtime.limits.lease import Refusal
from qwen_runtime.limits.ledger import Left


def headers(left: Iterable[tuple[str, Left]]) -> dict[str, str]:
    """The headers `x-ratelimit-*` of an answer."""
    return {
        f"x-ratelimit-{what}-{name}": value
        for name, limit in left
        for what, value in (
            ("limit", str(limit.limit)),
            ("remaining", str(limit.remaining)),
            ("reset", duration(limit.reset_s)),
        )
    }


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """Headers that say when to come again. OpenAI's clients repeat a 429 unless `x-should-retry` forbids it."""
    if refusal.retry_s is None:
        return {"x-should-retry": "false"}
    return {"retry-after": str(max(1, math.ceil(refusal.retry_s)))}


def refusal_body(refusal: Refusal) -> bytes:
    kind = "tokens" if refusal.reason == "tokens" else "requests"
    error = {"message": refusal.message, "type": kind, "param": None, "code": "rate_limit_exceeded"}
    return json.dumps({"error": error}).encode()


def duration(seconds: float) -> str:
    """Time as OpenAI's headers write it: 250ms, 1s, 1m30s."""
    whole = math.ceil(seconds)
    if 0 < seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
