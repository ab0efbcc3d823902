"""Determinism at temperature 0, measured: the same questions again and again, alone and beside others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Outcome, Patience, ask, new_session
from qwen_runtime.errors import HostError
from qwen_runtime.evaluate.problems import INSTRUCTION, Problem


@dataclass(frozen=True, slots=True)
class Asking:
    endpoint: Endpoint
    patience: Patience
    rounds: int
    users: int
    """Requests at once in every round but the first, which asks one after the other."""
    max_tokens: int


async def measure(asking: Asking, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """One entry for each question. HostError where none was answered twice."""
    async with new_session(asking.endpoint, asking.patience) as http:
        rounds = [
            await _round(http, asking, problems, users=asking.users if number else 1) for number in range(asking.rounds)
        ]
    entries = [_entry(problem, [one[index] for one in rounds]) for index, problem in enumerate(problems)]
    if not any(entry["answers"] > 1 for entry in entries):
        counted = dict(Counter(exchange.outcome.value for one in rounds for exchange in one))
        raise HostError(f"no question that was answered twice: {counted}", "two answers", "See what the endpoint says.")
    return entries


async def _round(
    http: aiohttp.ClientSession, asking: Asking, problems: Sequence[Problem], users: int
) -> list[Exchange]:
    free = asyncio.Semaphore(users)

    async def one(problem: Problem) -> Exchange:
        content = INSTRUCTION.format(prompt=problem.prompt)
        body = {
            "model": asking.endpoint.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": asking.max_tokens,
        }
        async with free:
            return await ask(http, f"{asking.endpoint.url}/chat/completions", body, Exchange(problem.name, 0.0))

    return await asyncio.gather(*(one(problem) for problem in problems))


def _entry(problem: Problem, exchanges: Sequence[Exchange]) -> dict[str, Any]:
    texts = [exchange.text for exchange in exchanges if exchange.outcome is Outcome.ANSWERED]
    distinct = sorted(set(texts))
    return {
        "item": problem.name,
        "answers": len(texts),
        "distinct": len(distinct),
        "same_characters": None if len(distinct) < 2 else _same(distinct[0], distinct[-1]),
    }


def _same(first: str, last: str) -> int:
    """Characters that both begin with. The first and the last in order differ as early as any two."""
    pairs = enumerate(zip(first, last, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(last)))


def figures(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share of the questions with one answer in all rounds, of those that were answered at least twice."""
    twice = [entry for entry in entries if entry["answers"] > 1]
    differing = sorted(entry["same_characters"] for entry in twice if entry["distinct"] > 1)
    return {
        "questions": len(twice),
        "identical_share": round(sum(entry["distinct"] == 1 for entry in twice) / len(twice), 4),
        "most_distinct": max(entry["distinct"] for entry in twice),
        "median_same_characters": differing[len(differing) // 2] if differing else None,
        "unanswered": len(entries) - len(twice),
    }
