"""A second entry takes over a part of a name, gives it back and takes over all of it while people use the endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import openai
import pytest
import yaml

from lab.cluster import stack
from lab.cluster.ask import ENDPOINT
from lab.paths import API_KEY
from tests.support.load import Load, repeated
from tests.support.waiting import wait_until

SESSIONS = 24


@pytest.fixture(scope="module")
def committed() -> Iterator[str]:
    """The stack's file, which is restored afterwards."""
    kept = stack.CONFIG.read_text()
    yield kept
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


def answered_by(model: str, names: set[str]) -> bool:
    return set(variants(model).values()) == names


def test_a_new_entry_is_added_shares_gives_back_and_takes_over_without_a_failure(model: str, committed: str) -> None:
    load = Load(openai.OpenAIError, httpx2.HTTPError, AssertionError)

    def ask() -> None:
        variant(model, str(time.monotonic_ns()))

    share(committed, model, 100, 0)
    with repeated(load.counted(ask)):
        assert answered_by(model, {"old"})
        assert variant(model, "any", **{"X-Qwen-Variant": "new"}) == "new"
        share(committed, model, 50, 50)
        shared = variants(model)
        assert set(shared.values()) == {"old", "new"}
        assert variants(model) == shared, "each session stays with its entry"
        for weights, name in (((100, 0), "old"), ((0, 100), "new")):
            share(committed, model, *weights)
            # Gateways that end still answer for as long as nodes may send to them.
            wait_until(lambda name=name: answered_by(model, {name}), f"all sessions at the {name} entry")  # type: ignore[misc]
    assert load.failures == []
    assert load.succeeded["ask"] > SESSIONS
