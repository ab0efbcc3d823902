"""The line of requests that wait for a place at the model servers, and whose turn it is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from qwen_runtime.limits.lease import Lease
from qwen_runtime.limits.rules import CLASSES

_Queue = tuple[str, str]


class Line:
    """Waiting requests, in order of arrival for each key and model."""

    def __init__(self) -> None:
        self._queues: dict[_Queue, deque[Lease]] = {}
        self.waiting: Counter[str] = Counter()

    def join(self, lease: Lease) -> None:
        self._queues.setdefault((lease.ask.key, lease.ask.model), deque()).append(lease)
        self.waiting[lease.ask.key] += 1

    def leave(self, lease: Lease) -> None:
        queue = (lease.ask.key, lease.ask.model)
        self._queues[queue].remove(lease)
        if not self._queues[queue]:
            del self._queues[queue]
        self.waiting[lease.ask.key] -= 1

    def next(self, may_go: Callable[[Lease], bool], in_flight: Callable[[str], int]) -> Lease | None:
        """The first of all that may go: interactive keys before batch, then the key with the fewest requests in flight,
        then the one that has waited longest. It stays in the line."""
        going = [queue[0] for queue in self._queues.values() if may_go(queue[0])]
        return min(
            going,
            key=lambda lease: (CLASSES.index(lease.klass), in_flight(lease.ask.key), lease.since_s),
            default=None,
        )
