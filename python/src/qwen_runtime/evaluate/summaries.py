"""BLEU and ROUGE of descriptions: the model says what a function does, and its author's own words are the reference.

Functions and words are HumanEval's, which its package has, so that nothing else is shipped. A model that describes a
function well in other words scores low: the figures compare two models on the same items, and say little alone.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sacrebleu.metrics.bleu import BLEU

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Outcome, Patience, ask, new_session
from qwen_runtime.errors import HostError
from qwen_runtime.evaluate.problems import Problem
from qwen_runtime.evaluate.rouge import rouge

QUESTION = (
    "Describe in one to three sentences what this Python function does, as its docstring would. "
    "Answer with the description alone.\n\n```python\n{code}\n```"
)
EXAMPLES = re.compile(r"\n?\s*(>>>|for example\b|examples?\b|e\.g\.|note:|\[input/output\])", re.IGNORECASE)
"""Beginnings of what follows the description in a docstring."""
LEAST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    code: str
    """The function without its description."""
    description: str
    """The author's words, without examples."""


@dataclass(frozen=True, slots=True)
class Asking:
    endpoint: Endpoint
    patience: Patience
    users: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a request, and its text where that is a whole description."""

    item: Item
    exchange: Exchange

    @property
    def text(self) -> str | None:
        whole = self.exchange.outcome is Outcome.ANSWERED and self.exchange.finish_reason != "length"
        return self.exchange.text.strip() if whole else None

    def entry(self) -> dict[str, Any]:
        """The result without its text."""
        return {
            "item": self.item.name,
            "outcome": self.exchange.outcome.value,
            "finish_reason": self.exchange.finish_reason,
            "detail": self.exchange.detail,
            **({} if self.text is None else scores(self.text, self.item.description)),
        }


def items(problems: Sequence[Problem]) -> list[Item]:
    """The problems whose function has a description of at least five words before its examples."""
    found = [_item(problem) for problem in problems]
    return [item for item in found if len(item.description.split()) >= LEAST_WORDS]


def _item(problem: Problem) -> Item:
    module = ast.parse(problem.prompt + problem.solution)
    [function] = [
        node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == problem.entry_point
    ]
    told = ast.get_docstring(function) or ""
    function.body = function.body[1:] if told else function.body
    end = EXAMPLES.search(told)
    description = told[: end.start()] if end else told
    return Item(problem.name, ast.unparse(module), " ".join(description.split()))


async def ask_all(asking: Asking, asked: Sequence[Item]) -> list[Answer]:
    """One answer for each item. HostError where none can be scored."""
    free = asyncio.Semaphore(asking.users)
    async with new_session(asking.endpoint, asking.patience) as http:

        async def one(item: Item) -> Answer:
            body = {
                "model": asking.endpoint.model,
                "messages": [{"role": "user", "content": QUESTION.format(code=item.code)}],
                "temperature": 0,
                "max_tokens": asking.max_tokens,
            }
            async with free:
                url = f"{asking.endpoint.url}/chat/completions"
                return Answer(item, await ask(http, url, body, Exchange(item.name, 0.0)))

        answers = list(await asyncio.gather(*(one(item) for item in asked)))
    if all(answer.text is None for answer in answers):
        first = answers[0].exchange
        raise HostError(
            f"no description that could be scored: {first.outcome.value}, finish_reason {first.finish_reason} "
            f"({first.detail})",
            "at least one",
            "Raise --max-tokens where answers are cut, or do what the endpoint says.",
        )
    return answers


def scores(text: str, reference: str) -> dict[str, float]:
    """BLEU of one text, with exponential smoothing, and its ROUGE, all from 0 to 1."""
    bleu = BLEU(effective_order=True).sentence_score(text, [reference]).score / 100
    return {name: round(float(value), 6) for name, value in {"bleu": bleu, **rouge(text, reference)}.items()}


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """BLEU of the whole corpus (0 to 100, with sacrebleu's signature) and mean ROUGE of what could be scored."""
    scored = [(answer, answer.text) for answer in answers if answer.text is not None]
    metric = BLEU()
    corpus = metric.corpus_score([text for _, text in scored], [[answer.item.description for answer, _ in scored]])
    each = [rouge(text, answer.item.description) for answer, text in scored]
    ends = [answer.exchange for answer in answers]
    return {
        "items": len(answers),
        "judged": len(scored),
        "bleu": round(float(corpus.score), 3),
        "bleu_signature": str(metric.get_signature()),
        **{name: round(fmean(score[name] for score in each), 5) for name in each[0]},
        "never_a_score": {
            "error": sum(end.outcome not in (Outcome.ANSWERED, Outcome.EMPTY) for end in ends),
            "empty": sum(end.outcome is Outcome.EMPTY for end in ends),
            "length_cut": sum(end.outcome is Outcome.ANSWERED and end.finish_reason == "length" for end in ends),
        },
    }
