"""Edits of real code: HumanEval's functions with their solutions, each with a change to make.

Other loads have drawn words, which fit their lengths and nothing else. What depends on the text itself, such as tokens
that an engine guesses from the prompt (speculative decoding by n-grams), is measured with this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen_runtime.bench.loads import DrawnTurn, Session
from qwen_runtime.evaluate.problems import Problem

CHANGES = (
    "Rename the parameters of this function so that their names tell what they hold.",
    "Add type hints to this function.",
    "Let this function raise ValueError for arguments that it cannot handle.",
    "Add a comment to each step of this function.",
)
QUESTION = "{change} Answer with the whole function in one code block, and nothing else.\n\n```python\n{code}```"
ANSWER_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Edits:
    problems: Sequence[Problem]

    def sessions(self, count: int, seed: int, *, scale: float, warmup: bool = False) -> list[Session]:
        """Sessions of one question, each another one while there are enough; a warm-up takes them from the end."""
        asked = [(problem, change) for change in CHANGES for problem in self.problems]
        order = np.random.default_rng([seed, 5]).permutation(len(asked))
        places = [int(order[(-number - 1 if warmup else number) % len(asked)]) for number in range(count)]
        limit = max(1, round(scale * ANSWER_TOKENS))
        return [
            Session(f"{'w' if warmup else 's'}{number}", (DrawnTurn(_question(*asked[place]), limit, 0.0),))
            for number, place in enumerate(places)
        ]

    def told(self) -> dict[str, Any]:
        return {"name": "edit", "problems": len(self.problems), "answer_tokens": ANSWER_TOKENS}


def _question(problem: Problem, change: str) -> str:
    return QUESTION.format(change=change, code=problem.prompt + problem.solution)
