"""Perplexity of an endpoint on a fixed text: HumanEval's problems with their own solutions, which are in its package.

The endpoint must tell the logarithm of each prompt token's probability (`prompt_logprobs`, as vLLM does). The first
token of a text has none, since nothing is before it. The likeliest token of each place is kept by its number, so that
two results tell in how many places their models would go on alike.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Patience, new_session
from qwen_runtime.errors import HostError
from qwen_runtime.evaluate.problems import Problem


@dataclass(frozen=True, slots=True)
class Asking:
    endpoint: Endpoint
    patience: Patience
    users: int


async def measure(asking: Asking, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """One entry for each text. HostError where none could be scored."""
    free = asyncio.Semaphore(asking.users)
    async with new_session(asking.endpoint, asking.patience) as http:

        async def one(problem: Problem) -> dict[str, Any]:
            async with free:
                return await _score(http, asking.endpoint, problem)

        entries = await asyncio.gather(*(one(problem) for problem in problems))
    if not any(entry["outcome"] == "answered" for entry in entries):
        counted = dict(Counter(entry["detail"] for entry in entries).most_common(1))
        raise HostError(
            f"no text that could be scored: {counted}",
            "an endpoint that tells prompt_logprobs",
            "Ask engine vLLM; weights on disk are scored by `qwen-runtime score`.",
        )
    return list(entries)


async def _score(http: aiohttp.ClientSession, endpoint: Endpoint, problem: Problem) -> dict[str, Any]:
    text = problem.prompt + problem.solution
    body = {"model": endpoint.model, "prompt": text, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 1}
    try:
        async with http.post(f"{endpoint.url}/completions", json=body) as answer:
            if answer.status != 200:
                return _failed(problem, f"{answer.status} {(await answer.text())[:200]}")
            told = (await answer.json(content_type=None))["choices"][0]["prompt_logprobs"]
            # A place tells its own token and the likeliest, which may be the same one.
            own = [max(place.values(), key=_rank) for place in told[1:]]
            likeliest = [min(place.items(), key=lambda entry: _rank(entry[1]))[0] for place in told[1:]]
            nats = -sum(float(token["logprob"]) for token in own)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _failed(problem, str(error) or type(error).__name__)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return _failed(problem, f"no prompt_logprobs ({error!r})")
    size = len(text.encode())
    return {
        "item": problem.name,
        "outcome": "answered",
        "tokens": len(told) - 1,
        "bytes": size,
        "nats": round(nats, 6),
        "bits_per_byte": round(nats / math.log(2) / size, 6),
        "likeliest": " ".join(likeliest),
    }


def _rank(token: dict[str, Any]) -> int:
    return int(token["rank"])


def _failed(problem: Problem, detail: str) -> dict[str, Any]:
    return {"item": problem.name, "outcome": "error", "detail": detail}


def figures(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Perplexity of a token, for models of one vocabulary, and bits of a byte, for any."""
    scored = [entry for entry in entries if entry["outcome"] == "answered"]
    nats, tokens, size = (sum(entry[key] for entry in scored) for key in ("nats", "tokens", "bytes"))
    return {
        "texts": len(scored),
        "failed": len(entries) - len(scored),
        "tokens": tokens,
        "perplexity": round(math.exp(nats / tokens), 4),
        "bits_per_byte": round(nats / math.log(2) / size, 5),
    }
