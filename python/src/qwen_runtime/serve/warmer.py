"""Warms the supervisor's own engine before it counts as ready, with a key that nobody else has."""

from __future__ import annotations

import hashlib
import secrets
import time

from qwen_runtime.engine import door
from qwen_runtime.errors import Error
from qwen_runtime.serve import journal
from qwen_runtime.warm import kinds
from qwen_runtime.warm.engine import Engine
from qwen_runtime.warm.warming import Asked, warm


class Warmer:
    def __init__(self, port: int) -> None:
        self._port, self._key = port, secrets.token_urlsafe(32)

    def environment(self) -> dict[str, str]:
        """Variable of the engine that lets the key in."""
        return {door.OWN: hashlib.sha256(self._key.encode()).hexdigest()}

    def warm(self) -> None:
        """Asks for each kind of request. An engine that fails in one serves the others, and so becomes ready all the
        same; one that died is noticed elsewhere."""
        started = time.monotonic()
        try:
            engine = Engine(f"http://127.0.0.1:{self._port}/v1", {"Authorization": f"Bearer {self._key}"})
            asked = warm(engine, kinds.of(engine.context_tokens), _report)
        except Error as error:
            journal.event("warm-failed", error.found)
            return
        refused = sum(bool(one.refusal) for one in asked)
        warm_s = round(time.monotonic() - started, 1)
        answered = f"{len(asked) - refused} kinds of requests were answered, {refused} refused"
        journal.event("warmed", f"{answered}, in {warm_s} s", warm_s=warm_s)


def _report(asked: Asked) -> None:
    journal.event("warming", str(asked), first_s=round(asked.first_s, 3))
