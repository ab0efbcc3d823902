"""The choice of tokens for one request. Every request brings its own; none depends on what runs beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sampling:
    seed: int
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    top_k: int = 0
    """0: no limit."""
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: int | None = None
    """Number of the likeliest tokens to return beside the chosen one; None: no logprobs at all."""

    @property
    def plain(self) -> bool:
        """The token is the one with the model's largest logit, and nothing else is asked."""
        return self.temperature == 0 and not self.penalizes and self.logprobs is None

    @property
    def filters(self) -> bool:
        return self.top_p < 1 or self.top_k > 0

    @property
    def penalizes(self) -> bool:
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)

    def draw(self, position: int) -> float:
        """A number from [0, 1) that depends on the seed and the token's place in the answer, and on nothing else.

        So a seed gives the same tokens in any batch and after a restart, and no state is kept.
        """
        digest = hashlib.blake2b(f"{self.seed}:{position}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)  # the 53 bits of a double


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Logarithms of the model's own probabilities, before temperature and penalties, as in vLLM."""

    chosen: float
    likeliest: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Choices:
    """A request's sampling, and what was found while its tokens were chosen; it goes through the engine with it."""

    sampling: Sampling
    logprobs: list[TokenLogprobs] = field(default_factory=list)
