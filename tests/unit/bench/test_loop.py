"""The event loop of a load."""

from __future__ import annotations

import asyncio
import gc

import pytest
from qwen_runtime.bench import loop


class Cycle:
    pass


async def make_garbage() -> int:
    """Number of full collections that a lot of living objects and of garbage bring about."""
    before, kept = gc.get_stats()[2]["collections"], []
    for _ in range(200_000):
        one = Cycle()
        one.itself = one  # type: ignore[attr-defined]
        kept.append([one])
    return gc.get_stats()[2]["collections"] - before


def test_no_full_collection_stops_a_load_and_all_is_as_before_afterwards() -> None:
    thresholds = gc.get_threshold()
    assert asyncio.run(make_garbage()) > 0
    assert loop.run(make_garbage()) == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (thresholds, 0)


def test_a_failure_leaves_collections_as_they_were() -> None:
    async def fail() -> None:
        raise LookupError

    thresholds = gc.get_threshold()
    with pytest.raises(LookupError):
        loop.run(fail())
    assert gc.get_threshold() == thresholds
