"""Kinds of requests, each of which runs code of an engine that no other one runs.

Source: what vLLM 0.32 compiles beyond its own warm-up at the start (docs/engines-vllm.md): one kernel for each way to
sample (vllm/v1/worker/gpu/sample), ranks for log-probabilities, masks for grammars, and shapes that follow from the
length of prompts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

CHAT, COMPLETIONS = "/chat/completions", "/completions"
ANSWER_TOKENS = 8
LENGTHS = (1, 64, 512, 4096)
"""Prompts in tokens: what is decoded beside others, two sizes of captured graphs, and half a step."""
LONGEST = 10_000
"""More than the 8,192 tokens of one step, so that a prompt is taken in by pieces."""
AT_ONCE = 8
TOKENS = range(30, 200)
"""Tokens of prompts that are given as numbers; each tokenizer has these."""
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
_TOOL = {"type": "function", "function": {"name": "look_up", "description": "A city.", "parameters": _SCHEMA}}


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    path: str = CHAT
    fields: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    """Length of a prompt that is given in numbers; 0 for a question in words."""
    at_once: int = 1
    """Requests that are sent together."""

    def bodies(self, model: str, draw: random.Random) -> Iterator[dict[str, Any]]:
        """Its requests. Every prompt begins in its own way, so that nothing of it is in the prefix cache."""
        for _ in range(self.at_once):
            number = draw.randrange(10**9)
            if self.prompt_tokens:
                asked: dict[str, Any] = {"prompt": draw.choices(TOKENS, k=self.prompt_tokens)}
            elif self.path == COMPLETIONS:
                asked = {"prompt": f"{number} is the number of a city whose name is"}
            else:
                asked = {"messages": [{"role": "user", "content": f"{number}: name a city in one word."}]}
            yield {"model": model, "max_tokens": ANSWER_TOKENS, **asked, **self.fields}


def of(context_tokens: int | None, longest: int = LONGEST) -> list[Kind]:
    """All kinds. Prompts are as long as the context and `longest` let them be; None where the context is not known."""
    most = min(longest, (context_tokens or LENGTHS[-1] + ANSWER_TOKENS) - ANSWER_TOKENS)
    lengths = sorted({*(length for length in LENGTHS if length <= most), max(1, most)})
    return [
        *(Kind(f"a prompt of {length:,} tokens", COMPLETIONS, prompt_tokens=length) for length in lengths),
        Kind(f"{AT_ONCE} requests at once", COMPLETIONS, at_once=AT_ONCE),
        Kind("the likeliest token", fields={"temperature": 0}),
        Kind("top_p", fields={"temperature": 0.8, "top_p": 0.9}),
        Kind("top_k", fields={"temperature": 0.8, "top_k": 20}),
        Kind("top_p with top_k", fields={"temperature": 0.8, "top_p": 0.9, "top_k": 20}),
        Kind("min_p", fields={"temperature": 0.8, "min_p": 0.05}),
        Kind("a seed", fields={"temperature": 0.8, "seed": 7}),
        Kind("penalties", fields={"presence_penalty": 0.1, "frequency_penalty": 0.1, "repetition_penalty": 1.05}),
        Kind("logit_bias with min_tokens", fields={"logit_bias": {"30": 1.0}, "min_tokens": 2}),
        Kind("bad_words", fields={"bad_words": ["the"]}),
        Kind("logprobs", fields={"logprobs": True, "top_logprobs": 5}),
        Kind("logprobs of the prompt", COMPLETIONS, {"echo": True, "logprobs": 1, "max_tokens": 1}),
        Kind("an answer by a schema", fields={"response_format": _format()}),
        Kind("a tool that must be called", fields={"tools": [_TOOL], "tool_choice": "required", "max_tokens": 64}),
        Kind("a tool that may be called", fields={"tools": [_TOOL], "tool_choice": "auto"}),
        Kind("a stream", fields={"stream": True}),
    ]


def _format() -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "city", "schema": _SCHEMA}}
