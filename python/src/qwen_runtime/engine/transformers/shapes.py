"""The JSON of answers, whole and in pieces, as OpenAI's clients read it."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from qwen_runtime.engine.transformers.answer import Answer, Piece
from qwen_runtime.engine.transformers.refusals import Refusal
from qwen_runtime.engine.transformers.sampling import TokenLogprobs

TokenText = Callable[[int], str]
Json = dict[str, Any]


class Shape(Protocol):
    """The part of an answer in which chat and completions differ."""

    prefix: str
    whole_object: str
    piece_object: str

    def opening(self) -> Json | None:
        """The choice before the first text."""

    def piece(self, piece: Piece) -> Json:
        """A choice with the text that has come."""

    def closing(self) -> Json:
        """The choice that says why there is no more."""

    def whole(self, piece: Piece) -> Json:
        """The choice with all the text."""


class Chat:
    prefix, whole_object, piece_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, token_text: TokenText, logprobs: bool) -> None:
        self._token_text, self._logprobs = token_text, logprobs

    def opening(self) -> Json | None:
        return {"delta": {"role": "assistant", "content": ""}, "logprobs": None}

    def piece(self, piece: Piece) -> Json:
        return {"delta": {"content": piece.text}, "logprobs": self._logprobs_of(piece)}

    def closing(self) -> Json:
        return {"delta": {}, "logprobs": None}

    def whole(self, piece: Piece) -> Json:
        return {"message": {"role": "assistant", "content": piece.text}, "logprobs": self._logprobs_of(piece)}

    def _logprobs_of(self, piece: Piece) -> Json | None:
        if not self._logprobs:
            return None
        pairs = zip(piece.tokens, piece.logprobs, strict=True)
        return {"content": [self._entry(token, logprobs) for token, logprobs in pairs]}

    def _entry(self, token: int, logprobs: TokenLogprobs) -> Json:
        likeliest = [self._token(other, logprob) for other, logprob in logprobs.likeliest]
        return {**self._token(token, logprobs.chosen), "top_logprobs": likeliest}

    def _token(self, token: int, logprob: float) -> Json:
        text = self._token_text(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


class Completion:
    prefix, whole_object, piece_object = "cmpl", "text_completion", "text_completion"

    def __init__(self, token_text: TokenText, logprobs: bool) -> None:
        self._token_text, self._logprobs = token_text, logprobs
        self._offset = 0

    def opening(self) -> Json | None:
        return None

    def piece(self, piece: Piece) -> Json:
        return {"text": piece.text, "logprobs": self._logprobs_of(piece)}

    def closing(self) -> Json:
        return {"text": "", "logprobs": None}

    def whole(self, piece: Piece) -> Json:
        return self.piece(piece)

    def _logprobs_of(self, piece: Piece) -> Json | None:
        if not self._logprobs:
            return None
        texts = [self._token_text(token) for token in piece.tokens]
        offsets = []
        for text in texts:
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "text_offset": offsets,
            "tokens": texts,
            "token_logprobs": [logprobs.chosen for logprobs in piece.logprobs],
            "top_logprobs": [
                {self._token_text(token): logprob for token, logprob in logprobs.likeliest}
                for logprobs in piece.logprobs
            ],
        }


class Writer:
    """Writes one answer in its shape."""

    def __init__(self, shape: Shape, model: str, answer: Answer) -> None:
        self._shape, self._answer = shape, answer
        self._head = {"id": f"{shape.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    async def whole(self) -> Json:
        pieces = [piece async for piece in self._answer.pieces()]
        choice = self._choice(self._shape.whole(_join(pieces)), self._answer.finish_reason)
        return {**self._head, "object": self._shape.whole_object, "choices": [choice], "usage": self._usage()}

    async def stream(self, include_usage: bool) -> AsyncIterator[str]:
        """Server-sent events. A failure on the way is one of them, since the status has been sent already."""
        try:
            if opening := self._shape.opening():
                yield self._event([self._choice(opening, None)])
            async for piece in self._answer.pieces():
                choice = self._shape.piece(piece)
                if piece.text or choice["logprobs"]:
                    yield self._event([self._choice(choice, None)])
            yield self._event([self._choice(self._shape.closing(), self._answer.finish_reason)])
            if include_usage:
                yield self._event([], usage=self._usage())
        except Refusal as refusal:
            yield f"data: {json.dumps(refusal.body())}\n\n"
        yield "data: [DONE]\n\n"

    def _event(self, choices: list[Json], **fields: object) -> str:
        event = {**self._head, "object": self._shape.piece_object, "choices": choices, **fields}
        return f"data: {json.dumps(event)}\n\n"

    def _choice(self, choice: Json, finish_reason: str | None) -> Json:
        return {"index": 0, **choice, "finish_reason": finish_reason}

    def _usage(self) -> Json:
        prompt, completion = len(self._answer.wanted.prompt), len(self._answer.tokens)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _join(parts: Sequence[Piece]) -> Piece:
    return Piece(
        "".join(piece.text for piece in parts),
        tuple(itertools.chain.from_iterable(piece.tokens for piece in parts)),
        tuple(itertools.chain.from_iterable(piece.logprobs for piece in parts)),
    )
