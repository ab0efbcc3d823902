"""Two entries of the lab's stack that serve one name, and who of them answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import yaml

from lab.cluster import stack
from lab.cluster.ask import ENDPOINT
from lab.paths import API_KEY

SESSIONS = 24


@contextmanager
def committed() -> Iterator[str]:
    """The stack's file, which is restored afterwards."""
    kept = stack.CONFIG.read_text()
    try:
        yield kept
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()
        stack.wait()


def share(kept: str, model: str, old: int, new: int) -> None:
    """Let the reference engine serve the first entry's name too, by these weights, and wait until all is changed."""
    settings = yaml.safe_load(kept)
    first, second = settings["config"]["qwen-onprem:models"]
    first |= {"servedName": model, "variant": "old", "weight": old}
    by_hand = {"by": "this test", "because": "its engine is not measured"}
    second |= {"servedName": model, "variant": "new", "weight": new, "override": by_hand}
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    stack.up()
    stack.wait()


def variant(model: str, session: str, **headers: str) -> str:
    """The variant that answers a session."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 1}
    sent = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "X-Session-Id": session, **headers}
    answer = httpx2.post(f"{ENDPOINT}/chat/completions", json=body, headers=sent, timeout=60)
    answer.raise_for_status()
    return answer.headers["x-qwen-variant"]


def variants(model: str) -> dict[str, str]:
    return {session: variant(model, session) for session in map(str, range(SESSIONS))}
