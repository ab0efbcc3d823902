"""One request that was let in, from its arrival to its end."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_runtime.limits.window import Spent


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that a gateway wants to forward. `answer_tokens` is None where it does not bound its answer."""

    id: str
    gateway: str
    key: str
    model: str
    body_bytes: int = 0
    answer_tokens: int | None = None

    @property
    def host(self) -> str:
        return self.gateway.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. The cached ones are part of the prompt."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0


@dataclass(eq=False, slots=True)
class Lease:
    """A request that waits or is in flight, and what was spent for it."""

    ask: Ask
    klass: str
    since_s: float
    request: Spent
    tokens: Spent
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is above a limit. `retry_s` is None where waiting does not help."""

    reason: str
    message: str
    retry_s: float | None
