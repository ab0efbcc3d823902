"""The line of requests that wait for a place at the model servers, and whose turn it is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from qwen_runtime.limits.lease import Lease
from qwen_runtime.limits.rules import CLASSES

_Queue = tuple[str, str]
BATCH_TURN = 8
"""Turn of a model that batch gets while it waits, one in so many, however much interactive work there is."""


class Line:
    """Waiting requests, in order of arrival for each key and model."""

    def __init__(self) -> None:
        self._queues: dict[_Queue, deque[Lease]] = {}
        self.waiting: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()

    def join(self, lease: Lease) -> None:
        self._queues.setdefault((lease.ask.key, lease.ask.model), deque()).append(lease)
        self.waiting[lease.ask.key] += 1

    def leave(self, lease: Lease) -> None:
        queue = (lease.ask.key, lease.ask.model)
        self._queues[queue].remove(lease)
        if not self._queues[queue]:
            del self._queues[queue]
        self.waiting[lease.ask.key] -= 1

    def started(self, lease: Lease) -> None:
        """Counts a turn: interactive requests that go while batch waits for the same model bring batch nearer."""
        model = lease.ask.model
        if lease.klass == CLASSES[0] and self._batch(model):
            self._passed[model] += 1
        else:
            self._passed[model] = 0

    def owed(self, lease: Lease, may_take: Callable[[Lease], bool]) -> Lease | None:
        """The batch request whose turn it is when an interactive one would go: the oldest of those that may take
        its place."""
        if lease.klass != CLASSES[0] or self._passed[lease.ask.model] < BATCH_TURN - 1:
            return None
        taking = (batch for batch in self._batch(lease.ask.model) if may_take(batch))
        return min(taking, key=lambda batch: batch.since_s, default=None)

    def next(
        self, may_go: Callable[[Lease], bool], may_take: Callable[[Lease], bool], in_flight: Callable[[str], int]
    ) -> Lease | None:
        """The first of all that may go: interactive keys before batch, then the key with the fewest requests in flight,
        then the one that has waited longest. Each eighth turn is batch's. The request stays in the line."""
        going = [queue[0] for queue in self._queues.values() if may_go(queue[0])]
        first = min(
            going,
            key=lambda lease: (CLASSES.index(lease.klass), in_flight(lease.ask.key), lease.since_s),
            default=None,
        )
        return (first and self.owed(first, may_take)) or first

    def _batch(self, model: str) -> list[Lease]:
        """The first batch request of each key that waits for the model."""
        first = (queue[0] for (_, wanted), queue in self._queues.items() if wanted == model)
        return [lease for lease in first if lease.klass != CLASSES[0]]
