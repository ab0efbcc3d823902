"""A service in a time of its own: requests arrive, replicas with a knee answer, and an autoscaler counts replicas."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.autoscaler import PERIOD_S, Autoscaler
from tests.fakes.knee_engine import Replica, Request

STEP_S = 0.25
Rate = Callable[[float], float]
Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second: low, rising, high, falling, and low again; each phase as long as the others."""

    low: float = 2
    high: float = 10
    end: float = 1
    phase_s: float = 1200

    @property
    def duration_s(self) -> float:
        return 5 * self.phase_s

    def rate(self, now_s: float) -> float:
        phase, within = divmod(now_s / self.phase_s, 1)
        points = [self.low, self.low, self.high, self.high, self.end, self.end]
        start, stop = points[int(phase)], points[int(phase) + 1]
        return start + (stop - start) * within


@dataclass
class Service:
    """`scaler` is None for a fixed number of replicas. `seen` may hide values from it, as a failure does."""

    replicas: int
    start_s: float
    scaler: Autoscaler | None = None
    seen: Callable[[float, Values], Values | None] = lambda now_s, values: values
    token_s: float = 0.05
    knee: int = 16
    most: int = 64
    tokens: float = 100
    running: list[Replica] = field(default_factory=list)
    ended: list[Request] = field(default_factory=list)
    counts: list[tuple[float, int]] = field(default_factory=list)
    """Replicas that were wanted, at each look of the autoscaler."""
    replica_s: float = 0
    """Seconds for which replicas had GPUs, those that load or drain included."""

    def run(self, load: Load, seed: int = 1) -> None:
        chance = random.Random(seed)
        self.running = [self._replica(0) for _ in range(self.replicas)]
        next_s = chance.expovariate(load.rate(0))
        for number in range(int(load.duration_s / STEP_S)):
            now_s = number * STEP_S
            while next_s <= now_s:
                next_s += chance.expovariate(load.rate(now_s))
                self._send(Request(now_s, length=self.tokens * chance.uniform(0.5, 1.5)), now_s)
            for replica in self.running:
                self.ended += replica.step(now_s, STEP_S)
            self.running = [replica for replica in self.running if replica.requests or not replica.draining]
            self.replica_s += len(self.running) * STEP_S
            if self.scaler and now_s % PERIOD_S == 0:
                self._scale(self.scaler, now_s)

    def share_within(self, first_s: float, token_s: float) -> float:
        """Share of requests whose first token and whose time for each token kept these bounds."""
        return sum(self._kept(request, first_s, token_s) for request in self.ended) / len(self.ended)

    def _kept(self, request: Request, first_s: float, token_s: float) -> bool:
        assert request.first_s is not None
        assert request.ended_s is not None
        spent_s = (request.ended_s - request.first_s) / request.length
        return request.first_s - request.arrived_s <= first_s and spent_s <= token_s

    def _replica(self, ready_s: float) -> Replica:
        return Replica(ready_s, self.token_s, self.knee, self.most)

    def _send(self, request: Request, now_s: float) -> None:
        ready = [replica for replica in self.running if replica.ready_s <= now_s and not replica.draining]
        min(ready, key=lambda replica: replica.requests).waiting.append(request)

    def _scale(self, scaler: Autoscaler, now_s: float) -> None:
        kept = [replica for replica in self.running if not replica.draining]
        ready = [replica for replica in kept if replica.ready_s <= now_s]
        values: Values = {
            "demand": float(sum(replica.requests for replica in self.running)),
            "kv-cache": sum(min(1.0, len(replica.running) / replica.most) for replica in ready),
        }
        seen = self.seen(now_s, values)
        wanted = scaler.lose(len(kept)) if seen is None else scaler.step(now_s, seen, len(kept))
        self.counts.append((now_s, wanted))
        self.running += [self._replica(now_s + self.start_s) for _ in range(wanted - len(kept))]
        # Kubernetes ends those first that are not ready, then the youngest.
        for replica in sorted(kept, key=lambda one: -one.ready_s)[: max(0, len(kept) - wanted)]:
            replica.draining = True
