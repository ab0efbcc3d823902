"""The places at the model servers: how many there are, and who has them."""

from __future__ import annotations

from collections import Counter

from qwen_runtime.limits.lease import Lease
from qwen_runtime.limits.rules import CLASSES, Rules

KEPT = 8
"""Part of a model's places, one in so many, for interactive keys that hold less than that part: a key that floods
leaves room in which others are served at once."""


class Places:
    """Requests in flight, by key and by model, and the ready replicas of each model."""

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()
        self.replicas: dict[str, int] = {}
        self._models: Counter[str] = Counter()
        self._both: Counter[tuple[str, str]] = Counter()

    def take(self, lease: Lease) -> None:
        self._change(lease, 1)

    def give_back(self, lease: Lease) -> None:
        self._change(lease, -1)

    def free_for(self, lease: Lease, rules: Rules, in_turn: bool = False) -> str | None:
        """None if the request may go now, else the limit that it waits for. One that goes in its class's turn may take
        a place that is kept."""
        key, model = lease.ask.key, lease.ask.model
        most = rules.of(key).in_flight
        if most is not None and self.in_flight[key] >= most:
            return "in_flight"
        each = rules.requests_per_replica.get(model)
        if each is None:
            return None
        places = each * max(1, self.replicas.get(model, 1))
        kept = max(1, places // KEPT) if places > 1 else 0
        if in_turn or (lease.klass == CLASSES[0] and self._both[key, model] < kept):
            kept = 0
        return None if self._models[model] < places - kept else "places"

    def _change(self, lease: Lease, by: int) -> None:
        self.in_flight[lease.ask.key] += by
        self._models[lease.ask.model] += by
        self._both[lease.ask.key, lease.ask.model] += by
