"""Admission: a request runs when its whole answer has a place in the KV cache, in the order of arrival.

A request that outgrows the cache kills transformers' worker for good, so that the pages of prompt and longest answer
are set aside before it sees the request. Nothing here knows of the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from qwen_runtime.engine.transformers import refusals


@dataclass(frozen=True, slots=True)
class Limits:
    context_tokens: int
    """Prompt and answer together."""
    pages: int
    page_tokens: int
    waiting: int
    """Most requests that wait for a place; any more are refused."""

    def answer_tokens(self, prompt_tokens: int, wanted: int | None, prompt_field: str, wanted_field: str) -> int:
        """Most tokens of an answer; 400 naming the field where the prompt, or both together, exceed the context."""
        left = self.context_tokens - prompt_tokens
        has = f"This model's maximum context length is {self.context_tokens} tokens and the prompt has {prompt_tokens}"
        if left < 1:
            raise refusals.bad_request(f"{has}, which leaves no room for an answer. Shorten it.", prompt_field)
        if wanted is not None and wanted > left:
            raise refusals.bad_request(f"{has}, so that at most {left} can be asked for, not {wanted}.", wanted_field)
        return left if wanted is None else wanted


class Admission:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[Hashable] = deque()
        self._pages: dict[Hashable, int] = {}
        self._running: set[Hashable] = set()
        self._free = limits.pages

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def reserved_share(self) -> float:
        return 1 - self._free / self._limits.pages

    def enter(self, request: Hashable, tokens: int) -> None:
        """Takes a place in the queue for a request of so many tokens, prompt and answer; 429 where it is full.

        ValueError where the request can never run: the context must not be larger than the cache.
        """
        pages = -(-tokens // self._limits.page_tokens)
        if pages > self._limits.pages:
            raise ValueError(f"{tokens} tokens are {pages} pages, and the cache has {self._limits.pages}")
        must_wait = bool(self._waiting) or pages > self._free
        if must_wait and len(self._waiting) >= self._limits.waiting:
            raise refusals.queue_full(len(self._waiting))
        self._pages[request] = pages
        self._waiting.append(request)

    def admit(self) -> list[Hashable]:
        """The requests that now have their pages. The first in the queue never waits for a smaller one behind it."""
        admitted = []
        while self._waiting and self._pages[self._waiting[0]] <= self._free:
            request = self._waiting.popleft()
            self._free -= self._pages[request]
            self._running.add(request)
            admitted.append(request)
        return admitted

    def leave(self, request: Hashable) -> None:
        """Gives the place back, in the queue or in the cache."""
        pages = self._pages.pop(request)
        if request in self._running:
            self._running.remove(request)
            self._free += pages
        else:
            self._waiting.remove(request)
