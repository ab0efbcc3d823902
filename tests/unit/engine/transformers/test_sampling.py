"""Requests say how their tokens are chosen; the model's own defaults stand where they say nothing."""

from __future__ import annotations

from qwen_runtime.engine.transformers.sampling import Sampling
from qwen_runtime.engine.transformers.schema import ChatRequest, CompletionRequest

MESSAGES = [{"role": "user", "content": "x"}]


def test_draws_depend_on_seed_and_place_alone_and_fill_the_unit_interval() -> None:
    draws = [Sampling(seed=1).draw(place) for place in range(2000)]
    assert draws == [Sampling(seed=1, temperature=0.3).draw(place) for place in range(2000)]
    assert len({*draws, *(Sampling(seed=2).draw(place) for place in range(2000))}) == 4000
    assert all(0 <= draw < 1 for draw in draws)
    assert abs(sum(draws) / len(draws) - 0.5) < 0.03


def test_what_a_request_says_stands_over_the_models_defaults() -> None:
    defaults = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    silent = CompletionRequest(prompt="x").sampling(defaults)
    assert (silent.temperature, silent.top_p, silent.top_k, silent.repetition_penalty) == (0.7, 0.8, 20, 1.05)
    sampling = CompletionRequest(prompt="x", temperature=0.0, top_k=-1, seed=3).sampling(defaults)
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed) == (0, 0, 0.8, 3)
    assert CompletionRequest(prompt="x").sampling({}).temperature == 1


def test_requests_without_a_seed_get_different_ones() -> None:
    assert len({CompletionRequest(prompt="x").sampling({}).seed for _ in range(10)}) == 10


def test_limits_of_the_answer_are_those_of_openai() -> None:
    assert CompletionRequest(prompt="x").wanted_tokens() == (16, "max_tokens")
    assert ChatRequest(messages=MESSAGES).wanted_tokens() == (None, "max_tokens")
    both = ChatRequest(messages=MESSAGES, max_tokens=5, max_completion_tokens=7)
    assert both.wanted_tokens() == (7, "max_completion_tokens")


def test_logprobs_are_told_only_where_they_are_asked_for() -> None:
    assert ChatRequest(messages=MESSAGES, top_logprobs=3).wanted_logprobs() is None
    assert ChatRequest(messages=MESSAGES, logprobs=True).wanted_logprobs() == 0
    assert ChatRequest(messages=MESSAGES, logprobs=True, top_logprobs=3).wanted_logprobs() == 3
    assert CompletionRequest(prompt="x", logprobs=0).wanted_logprobs() == 0
