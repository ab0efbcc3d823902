"""A second entry takes over a part of a name, gives it back and takes over all of it while people use the endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import openai
import pytest

from tests.support import sharing
from tests.support.load import Load, repeated
from tests.support.sharing import SESSIONS, share, variant, variants
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def committed() -> Iterator[str]:
    with sharing.committed() as kept:
        yield kept


def answered_by(model: str, names: set[str]) -> bool:
    return set(variants(model).values()) == names


def shared_for_good(model: str) -> bool:
    """Whether both entries answer, and each session is answered by the same one three times."""
    first, *others = (variants(model) for _ in range(3))
    return set(first.values()) == {"old", "new"} and all(other == first for other in others)


def test_a_new_entry_is_added_shares_gives_back_and_takes_over_without_a_failure(model: str, committed: str) -> None:
    load = Load(openai.OpenAIError, httpx2.HTTPError, AssertionError)

    def ask() -> None:
        variant(model, str(time.monotonic_ns()))

    share(committed, model, 100, 0)
    with repeated(load.counted(ask)):
        assert answered_by(model, {"old"})
        assert variant(model, "any", **{"X-Qwen-Variant": "new"}) == "new"
        share(committed, model, 50, 50)
        # Kubelets bring the weights to each gateway in its own time. From then on each session stays with its entry.
        wait_until(lambda: shared_for_good(model), "half of the sessions at each entry")
        for weights, name in (((100, 0), "old"), ((0, 100), "new")):
            share(committed, model, *weights)
            wait_until(lambda name=name: answered_by(model, {name}), f"all sessions at the {name} entry")  # type: ignore[misc]
    assert load.failures == []
    assert load.succeeded["ask"] > SESSIONS
