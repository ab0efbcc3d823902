"""Chooses every request's next token with its own settings. It replaces transformers' list of logits processors.

Shapes: R requests of the batch that get a token in this step, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from qwen_runtime.engine.transformers.sampling import Choices, TokenLogprobs

KEYWORD = "choices"
"""Keyword argument of add_request that carries a request's Choices."""


class Sampler:
    """The logits processor of ContinuousBatchingManager.

    It is called once a step, between the model and an argmax, which finds the chosen token or, where every request of
    the batch is plain, the likeliest one by itself. It must run with every step (no CUDA graph, no asynchronous
    batching), because what it does differs from step to step.
    """

    do_processing = True
    tensors_required = 0  # settings travel with the requests, not in a tensor

    def __init__(self, on_step: Callable[[int, int], None], ranks: Any) -> None:
        """on_step: called on the engine's thread with the requests and tokens that each step computed. ranks:
        transformers' DistributedHelper."""
        self._on_step, self._ranks = on_step, ranks
        self._states: list[Any] = []
        self._step = (0, 0)

    def check_kwargs(self, kwargs: dict[str, Any]) -> None:
        if set(kwargs) != {KEYWORD}:
            raise ValueError(f"{KEYWORD} is the one keyword of a request, not {sorted(kwargs)}")

    def fill_defaults(self, _: torch.Tensor) -> None:
        """There is no tensor of settings."""

    def prepare_tensor_args(self, requests_in_batch: Sequence[Any], arg_storage: torch.Tensor) -> torch.Tensor:
        """Called before the model with the whole batch, those included whose prompt is not through yet."""
        self._states = [request.state for request in requests_in_batch if request.has_new_token]
        self._step = (len(requests_in_batch), sum(request.query_length for request in requests_in_batch))
        return arg_storage

    def __call__(self, _: torch.Tensor, logits: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        """logits (R or more, V) float32, changed in place: the largest of each row is its chosen token's."""
        states = self._states
        # A second argmax would cost: 3 ms for 16 rows of 49,152 on a CPU.
        plain = self._ranks.tp_size == 1 and all(_choices(state).sampling.plain for state in states)
        if states and not plain:
            chosen = self._agree(logits[: len(states)], states)
            logits[torch.arange(len(states), device=logits.device), chosen] = torch.inf
        self._on_step(*self._step)
        return logits

    def _agree(self, logits: torch.Tensor, states: Sequence[Any]) -> torch.Tensor:
        """Tokens that rank 0 chooses and tells the others. After a single token of difference the ranks would compute
        different batches, and wait for one another for ever."""
        if self._ranks.is_tp_driver:
            chosen = choose(logits, states)
        else:
            chosen = torch.empty(len(states), dtype=torch.int64, device=logits.device)
        return self._ranks.tp_broadcast_from_rank_0(chosen)


def _choices(state: Any) -> Choices:
    choices: Choices = state.logit_processor_kwargs[KEYWORD]
    return choices


def choose(logits: torch.Tensor, states: Sequence[Any]) -> torch.Tensor:
    """Token of each row of logits (R, V), as (R,); writes logprobs of the requests that asked for them."""
    every = [_choices(state) for state in states]
    scores = _penalize(logits, states, every)
    chosen = torch.empty(len(every), dtype=torch.int64, device=logits.device)
    sampled = [row for row, choices in enumerate(every) if choices.sampling.temperature > 0]
    greedy = [row for row, choices in enumerate(every) if choices.sampling.temperature == 0]
    chosen[greedy] = torch.argmax(scores[greedy], dim=-1)
    for filters in (False, True):  # rows without filters need no sorting
        rows = [row for row in sampled if every[row].sampling.filters is filters]
        if rows:
            draws = [every[row].sampling.draw(len(states[row].generated_tokens)) for row in rows]
            chosen[rows] = _sample(scores[rows], [every[row] for row in rows], draws, filters)
    _note_logprobs(logits, chosen, every)
    return chosen


def _sample(scores: torch.Tensor, every: Sequence[Choices], draws: Sequence[float], filters: bool) -> torch.Tensor:
    """A token for each row of scores (R, V): the place where the row's draw falls in the sum of its probabilities."""
    device = scores.device
    temperature = torch.tensor([choices.sampling.temperature for choices in every], device=device)
    # The largest score of a row becomes 0 first, so that a tiny temperature overflows to -inf and never to inf.
    scaled = (scores - scores.max(dim=-1, keepdim=True).values) / temperature[:, None]
    order = None
    if filters:
        scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
        scaled = _filter(scaled, every)
    sums = torch.softmax(scaled, dim=-1, dtype=torch.float64).cumsum(dim=-1)
    targets = torch.tensor(draws, dtype=torch.float64, device=device)[:, None] * sums[:, -1:]
    places = torch.searchsorted(sums, targets, right=True).clamp(max=scores.shape[-1] - 1)
    return (places if order is None else order.gather(-1, places)).squeeze(-1)


def _filter(scaled: torch.Tensor, every: Sequence[Choices]) -> torch.Tensor:
    """Rows that are sorted downwards, with -inf for what top_k, then top_p of the rest, leave out."""
    device, vocabulary = scaled.device, scaled.shape[-1]
    top_k = torch.tensor([choices.sampling.top_k or vocabulary for choices in every], device=device)
    top_p = torch.tensor([choices.sampling.top_p for choices in every], device=device)
    places = torch.arange(vocabulary, device=device)
    scaled = scaled.masked_fill(places >= top_k[:, None], -torch.inf)
    probabilities = torch.softmax(scaled, dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    return scaled.masked_fill((before >= top_p[:, None]) & (places > 0), -torch.inf)


def _penalize(logits: torch.Tensor, states: Sequence[Any], every: Sequence[Choices]) -> torch.Tensor:
    """Scores with penalties, as in vLLM: repetition counts prompt and answer, the others count the answer alone."""
    rows = [row for row, choices in enumerate(every) if choices.sampling.penalizes]
    if not rows:
        return logits
    scores = logits.clone()
    for row in rows:
        sampling, state = every[row].sampling, states[row]
        answer = Counter(state.generated_tokens)
        seen = torch.tensor(sorted(answer.keys() | set(state.initial_tokens)), device=logits.device)
        scores_of_seen, penalty = scores[row, seen], sampling.repetition_penalty
        scores[row, seen] = torch.where(scores_of_seen > 0, scores_of_seen / penalty, scores_of_seen * penalty)
        if answer:
            tokens = torch.tensor(list(answer), device=logits.device)
            counts = torch.tensor(list(answer.values()), device=logits.device)
            scores[row, tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts
    return scores


def _note_logprobs(logits: torch.Tensor, chosen: torch.Tensor, every: Sequence[Choices]) -> None:
    for row, choices in enumerate(every):
        count = choices.sampling.logprobs
        if count is None:
            continue
        logprobs = torch.log_softmax(logits[row], dim=-1)
        values, tokens = logprobs.topk(count)
        likeliest = tuple(zip(tokens.tolist(), values.tolist(), strict=True))
        choices.logprobs.append(TokenLogprobs(logprobs[chosen[row]].item(), likeliest))
