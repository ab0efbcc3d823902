"""Replicas with a knee, in a time of their own: up to so many requests at once cost nothing, more slow each other.

A replica gives each of its requests a token every `token_s` seconds while no more than
`knee` run; beyond that all of them share the rate that it had at the knee. At most `most` run; the rest wait in turn.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Request:
    arrived_s: float
    length: float
    """Tokens of its answer."""
    given: float = 0
    """Tokens of it that were given."""
    first_s: float | None = None
    """Time of its first token."""
    ended_s: float | None = None


@dataclass(slots=True)
class Replica:
    ready_s: float
    """Time from which it answers."""
    token_s: float
    knee: int
    most: int
    draining: bool = False
    running: list[Request] = field(default_factory=list)
    waiting: deque[Request] = field(default_factory=deque)

    @property
    def requests(self) -> int:
        return len(self.running) + len(self.waiting)

    def step(self, now_s: float, step_s: float) -> list[Request]:
        """Computes for one step; returns the requests that ended."""
        while self.waiting and len(self.running) < self.most:
            self.running.append(self.waiting.popleft())
        slower = max(1.0, len(self.running) / self.knee)
        ended = []
        for request in self.running:
            request.given += step_s / (self.token_s * slower)
            request.first_s = now_s if request.first_s is None else request.first_s
            if request.given >= request.length:
                request.ended_s = now_s
                ended.append(request)
        self.running = [request for request in self.running if request.ended_s is None]
        return ended
