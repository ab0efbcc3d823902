"""No request reaches the engine whose whole answer has no place in the KV cache, and none is forgotten."""

from __future__ import annotations

import random

import pytest
from qwen_runtime.engine.transformers.admission import Admission, Limits
from qwen_runtime.engine.transformers.refusals import Refusal

LIMITS = Limits(context_tokens=64, pages=4, page_tokens=16, waiting=2)


@pytest.mark.parametrize(("prompt", "max_tokens", "tokens"), [(62, 2, 2), (62, None, 2), (63, None, 1), (1, 63, 63)])
def test_prompt_and_answer_may_fill_the_context(prompt: int, max_tokens: int | None, tokens: int) -> None:
    assert LIMITS.answer_tokens(prompt, max_tokens, "prompt", "max_tokens") == tokens


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "field"),
    [(64, None, "messages"), (65, 1, "messages"), (63, 2, "max_completion_tokens"), (1, 64, "max_completion_tokens")],
)
def test_beyond_the_context_the_field_at_fault_is_named(prompt: int, max_tokens: int | None, field: str) -> None:
    with pytest.raises(Refusal, match="context length is 64 tokens") as refused:
        LIMITS.answer_tokens(prompt, max_tokens, "messages", "max_completion_tokens")
    assert (refused.value.status, refused.value.param) == (400, field)


def test_pages_are_set_aside_for_the_whole_answer() -> None:
    admission = Admission(LIMITS)
    admission.enter("a", 33)  # three pages
    admission.enter("b", 17)  # two
    assert admission.admit() == ["a"]
    assert (admission.running, admission.waiting, admission.reserved_share) == (1, 1, 0.75)
    admission.leave("a")
    assert admission.admit() == ["b"]
    assert admission.reserved_share == 0.5


def test_a_small_request_does_not_overtake_a_large_one() -> None:
    admission = Admission(LIMITS)
    admission.enter("a", 16)
    assert admission.admit() == ["a"]
    admission.enter("large", 64)
    admission.enter("small", 1)
    assert admission.admit() == []
    admission.leave("a")
    assert admission.admit() == ["large"]


def test_what_has_a_place_never_needs_one_in_the_queue() -> None:
    admission = Admission(Limits(64, 4, 16, waiting=0))
    admission.enter("a", 64)
    assert admission.admit() == ["a"]
    with pytest.raises(Refusal):
        admission.enter("b", 1)


def test_a_full_queue_asks_to_come_back() -> None:
    admission = Admission(LIMITS)
    for request in range(3):
        admission.enter(request, 64)
        admission.admit()
    with pytest.raises(Refusal, match="2 requests wait already") as refused:
        admission.enter(3, 1)
    assert (refused.value.status, refused.value.headers()) == (429, {"Retry-After": "1"})
    admission.leave(2)
    admission.enter(3, 1)


def test_a_request_that_can_never_run_is_not_queued() -> None:
    with pytest.raises(ValueError, match="65 tokens are 5 pages, and the cache has 4"):
        Admission(LIMITS).enter("a", 65)


def test_after_any_history_everything_is_given_back() -> None:
    chance, admission, present = random.Random(1), Admission(LIMITS), set()
    for request in range(2000):
        if present and chance.random() < 0.5:
            left = chance.choice(sorted(present))
            present.remove(left)
            admission.leave(left)
        else:
            try:
                admission.enter(request, chance.randint(1, 64))
                present.add(request)
            except Refusal:
                assert admission.waiting == LIMITS.waiting
        admission.admit()
        assert admission.reserved_share <= 1
        assert admission.running + admission.waiting == len(present)
    for request in present:
        admission.leave(request)
    assert (admission.running, admission.waiting, admission.reserved_share) == (0, 0, 0)
