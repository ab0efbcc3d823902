"""Retrieval from a long context: one number among many alike, asked for by its name, at known depths."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Outcome, Patience, ask, new_session
from qwen_runtime.errors import HostError

LINE = "setting_{name:05d} = {value:06d}"
TOKENS_OF_A_LINE = 16
"""Estimate, as in vocabularies with a token for each digit; results tell what the endpoint counted."""
QUESTION = "{lines}\n\nWhat is the value of setting_{name:05d} above? Answer with the number alone."
MAX_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Item:
    """A number at a depth, from 0 (first line) to 1 (last line), of a context of about `length` tokens."""

    length: int
    depth: float
    prompt: str
    value: str

    @property
    def name(self) -> str:
        return f"{self.length}@{self.depth:.2f}"


@dataclass(frozen=True, slots=True)
class Asking:
    endpoint: Endpoint
    patience: Patience
    users: int


def items(lengths: Sequence[int], depths: int, seed: int) -> Iterator[Item]:
    """`depths` items of each length, evenly from the first line to the last; the same for the same seed."""
    for length in lengths:
        for number in range(depths):
            rng = random.Random(f"{seed} {length} {number}")
            count = max(2, length // TOKENS_OF_A_LINE)
            names, values = (rng.sample(range(10**digits), count) for digits in (5, 6))
            depth = number / max(1, depths - 1)
            place = round(depth * (count - 1))
            lines = "\n".join(LINE.format(name=n, value=v) for n, v in zip(names, values, strict=True))
            prompt = QUESTION.format(lines=lines, name=names[place])
            yield Item(length, depth, prompt, f"{values[place]:06d}")


async def measure(asking: Asking, asked: Sequence[Item]) -> list[dict[str, Any]]:
    """One entry for each item. HostError where nothing was answered."""
    free = asyncio.Semaphore(asking.users)
    async with new_session(asking.endpoint, asking.patience) as http:

        async def one(item: Item) -> dict[str, Any]:
            async with free:
                return _entry(item, await _ask(http, asking.endpoint, item))

        entries = list(await asyncio.gather(*(one(item) for item in asked)))
    if all(entry["score"] is None for entry in entries):
        raise HostError(
            f"no answer: {entries[0]['outcome']} ({entries[0]['detail']})",
            "at least one",
            "Lower --lengths to what the model's context holds, or do what the endpoint says.",
        )
    return entries


async def _ask(http: aiohttp.ClientSession, endpoint: Endpoint, item: Item) -> Exchange:
    messages = [{"role": "user", "content": item.prompt}]
    body = {"model": endpoint.model, "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
    return await ask(http, f"{endpoint.url}/chat/completions", body, Exchange(item.name, 0.0))


def _entry(item: Item, exchange: Exchange) -> dict[str, Any]:
    answered = exchange.outcome is Outcome.ANSWERED
    return {
        "item": item.name,
        "length": item.length,
        "depth": round(item.depth, 4),
        "outcome": exchange.outcome.value,
        "detail": exchange.detail,
        "prompt_tokens": exchange.prompt_tokens if answered else None,
        "score": float(_found(item.value, exchange.text)) if answered else None,
    }


def _found(value: str, text: str) -> bool:
    """Whether the first number of the answer is the right one; zeros before it do not count."""
    numbers = re.findall(r"\b\d+\b", text)
    return bool(numbers) and int(numbers[0]) == int(value)


def figures(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share that was found, of those that were answered: altogether, and by length with the tokens that it has."""
    answered = [entry for entry in entries if entry["score"] is not None]
    lengths: dict[int, list[dict[str, Any]]] = {}
    for entry in answered:
        lengths.setdefault(entry["length"], []).append(entry)
    return {
        "items": len(entries),
        "unanswered": len(entries) - len(answered),
        "found_share": _share(answered),
        "by_length": {
            str(length): {
                "found_share": _share(of),
                "prompt_tokens": max((entry["prompt_tokens"] or 0) for entry in of),
            }
            for length, of in lengths.items()
        },
    }


def _share(entries: Sequence[dict[str, Any]]) -> float:
    return round(float(sum(entry["score"] for entry in entries)) / len(entries), 4)
