"""A growing answer: the engine puts tokens in, the writer to the client takes pieces of text out.

It grows whether or not it is read, so that a slow reader holds no place in the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from qwen_runtime.engine.transformers.prompts import Detokenizer
from qwen_runtime.engine.transformers.refusals import Refusal
from qwen_runtime.engine.transformers.sampling import Choices, Sampling, TokenLogprobs
from qwen_runtime.engine.transformers.stopping import StopStrings


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wish of a request to the engine."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stops: tuple[str, ...]
    end_tokens: frozenset[int]
    """Tokens that end the answer, and are no text."""


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]
    """Logprobs of each token, where the request asked for them."""


class Answer:
    def __init__(self, key: str, wanted: Wanted, detokenizer: Detokenizer) -> None:
        self.key, self.wanted = key, wanted
        self.choices = Choices(wanted.sampling)
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self.refusal: Refusal | None = None
        self._detokenizer, self._stops = detokenizer, StopStrings(wanted.stops)
        self._text: list[str] = []
        self._read = 0
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.finish_reason is not None or self.refusal is not None

    def grow(self, tokens: Collection[int]) -> None:
        """Takes tokens until one of them ends the answer; `ended` says so."""
        for token in tokens:
            self.tokens.append(token)
            self.finish_reason = self._take(token)
            if self.finish_reason is not None:
                self._text.append(self._stops.flush())
                break
        self._news.set()

    def _take(self, token: int) -> str | None:
        """Why the answer ends with this token; None where it goes on."""
        if token in self.wanted.end_tokens:
            return "stop"
        self._text.append(self._stops.feed(self._detokenizer.feed(token)))
        if self._stops.found is not None:
            return "stop"
        return "length" if len(self.tokens) == self.wanted.max_tokens else None

    def fail(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self._news.set()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Pieces, each with what has come since the last one. Raises the Refusal that ended the answer."""
        while True:
            await self._news.wait()
            self._news.clear()
            text, self._text = "".join(self._text), []
            start, self._read = self._read, len(self.tokens)
            if text or start < self._read:
                logprobs = tuple(self.choices.logprobs[start : self._read])
                yield Piece(text, tuple(self.tokens[start : self._read]), logprobs)
            if self.refusal is not None:
                raise self.refusal
            if self.finish_reason is not None:
                return
