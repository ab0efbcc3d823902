"""Questions of users: sessions of turns, drawn from length distributions. The same seed gives the same sessions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "this",
    "are",
    "or",
    "his",
    "from",
    "at",
    "which",
    "but",
    "have",
    "an",
    "had",
    "they",
    "you",
    "were",
    "their",
    "one",
    "all",
    "we",
    "can",
    "her",
    "has",
    "there",
    "been",
    "if",
    "more",
    "when",
    "will",
    "would",
    "who",
    "so",
    "no",
    "said",
    "what",
    "up",
    "its",
    "about",
    "into",
    "than",
    "them",
    "can",
    "only",
    "other",
    "new",
    "some",
    "could",
    "time",
    "these",
    "two",
    "may",
    "then",
    "do",
    "first",
    "any",
    "my",
    "now",
    "such",
    "like",
    "our",
    "over",
    "man",
    "me",
]
"""Short words: with the blank before it, each is one token of the usual vocabularies."""
AGENT_TURNS = 8


class Turn(Protocol):
    """One request of a session."""

    @property
    def text(self) -> str: ...

    @property
    def answer_tokens(self) -> int: ...

    @property
    def wait_s(self) -> float:
        """Time between the previous answer and this turn: a tool runs."""


@dataclass(frozen=True, slots=True)
class DrawnTurn:
    text: str
    answer_tokens: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Session:
    name: str
    turns: tuple[Turn, ...]
    system: str = ""
    chat: bool = True
    """Whether it asks for a chat answer, or for the completion of a text."""
    grows: bool = True
    """Whether a turn has the history before it; those of a trace tell their whole text themselves."""

    @property
    def path(self) -> str:
        return "/chat/completions" if self.chat else "/completions"

    def beginning(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}] if self.system else []

    def question(self, history: list[dict[str, str]], turn: Turn) -> dict[str, Any]:
        """The body's part that asks; a completion has no history."""
        return {"messages": [*history, user(turn)]} if self.chat else {"prompt": turn.text}


def user(turn: Turn) -> dict[str, str]:
    return {"role": "user", "content": turn.text}


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of token counts, cut off at both ends."""

    median: float
    sigma: float
    least: int
    most: int

    def draw(self, rng: np.random.Generator, scale: float = 1.0) -> int:
        """One length in tokens; `scale` shrinks everything for a small model."""
        drawn = rng.lognormal(np.log(self.median), self.sigma)
        return max(1, round(scale * float(np.clip(drawn, self.least, self.most))))


@dataclass(frozen=True, slots=True)
class Load:
    """Lengths of a kind of use. They are choices of this project, but for the agent's: 1,500 tokens in and 425 out a
    turn over a system prompt of 3,000, tools of 1 to 100 s with a mean of 15, are llm-d's guide for this model."""

    question: Lengths
    answer: Lengths
    chat: bool = True
    turns: int = 1
    system_tokens: int = 0
    wait_median_s: float = 0.0
    wait_sigma: float = 0.9


LOADS = {
    "chat": Load(question=Lengths(300, 0.9, 8, 4000), answer=Lengths(250, 0.7, 8, 1500)),
    "completion": Load(question=Lengths(1200, 0.6, 64, 6000), answer=Lengths(32, 0.6, 4, 128), chat=False),
    "agent": Load(
        question=Lengths(1250, 0.6, 50, 10_000),
        answer=Lengths(300, 0.8, 20, 10_000),
        turns=AGENT_TURNS,
        system_tokens=3000,
        wait_median_s=10.0,
    ),
}


class Source(Protocol):
    """An origin of sessions: the same seed and scale give the same ones."""

    def sessions(self, count: int, seed: int, *, scale: float, warmup: bool = False) -> list[Session]: ...

    def told(self) -> dict[str, Any]:
        """The part of a result that names it: results of other loads are not compared."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Sessions drawn from the distributions of a load."""

    name: str
    load: Load

    def sessions(self, count: int, seed: int, *, scale: float, warmup: bool = False) -> list[Session]:
        return sessions(self.load, count, seed, scale=scale, warmup=warmup)

    def told(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self.load)}


def fixed(load: Load, question_tokens: int | None, answer_tokens: int | None) -> Load:
    """The load with lengths that do not vary, where they are given."""

    def exactly(tokens: int | None, otherwise: Lengths) -> Lengths:
        return otherwise if tokens is None else Lengths(tokens, 0.0, tokens, tokens)

    return Load(
        question=exactly(question_tokens, load.question),
        answer=exactly(answer_tokens, load.answer),
        chat=load.chat,
        turns=load.turns,
        system_tokens=load.system_tokens,
        wait_median_s=load.wait_median_s,
        wait_sigma=load.wait_sigma,
    )


def sessions(load: Load, count: int, seed: int, *, scale: float = 1.0, warmup: bool = False) -> list[Session]:
    """Sessions of a load. Those of the warm-up share the system prompt with the others, and nothing else."""
    common = np.random.default_rng([seed, 0])
    system = words(common, round(scale * load.system_tokens))
    rng = np.random.default_rng([seed, 2 if warmup else 1])
    return [_session(f"{'w' if warmup else 's'}{number}", load, system, rng, scale) for number in range(count)]


def _session(name: str, load: Load, system: str, rng: np.random.Generator, scale: float) -> Session:
    turns: list[Turn] = []
    for number in range(load.turns):
        # A beginning of its own, so that the answer to one session is not the prefix cache of another.
        mark = f"{int(rng.integers(1 << 62)):x} "
        question = mark + words(rng, load.question.draw(rng, scale))
        wait = 0.0
        if number:
            wait = scale * float(np.clip(rng.lognormal(np.log(load.wait_median_s), load.wait_sigma), 1, 100))
        turns.append(DrawnTurn(question, load.answer.draw(rng, scale), wait))
    return Session(name, tuple(turns), system, load.chat)


def words(rng: np.random.Generator, count: int) -> str:
    """A text of about `count` tokens."""
    return " ".join(WORDS[i] for i in rng.integers(len(WORDS), size=count))
