"""Events: what happens to a server, reported by the supervisor's threads and its signal handler to its main thread."""

from __future__ import annotations

import contextlib
import enum
import queue
import time
from dataclasses import dataclass

WAKE_S = 1.0
"""Python runs a signal's handler in the main thread only, between two of its steps. A signal that reaches another
thread, or the main one just before it sleeps, is heard at the next wake."""


class Kind(enum.Enum):
    STOP = "stop"
    """A signal asks the server to end; the reason is the signal's name."""
    EXIT = "exit"
    """A rank of the engine ended."""
    STALL = "stall"
    """The engine computes nothing, though requests are there."""
    CHANGE = "change"
    """The weights are no longer as they were verified."""
    LOST = "lost"
    """The group is broken."""
    DRAIN = "drain"
    """A follower is to end: let running requests end, then end the group."""
    END = "end"
    """The leader has ended the group in order: end without an error."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: Kind
    reason: str


class Events:
    """A queue that any thread fills and the main thread empties."""

    def __init__(self) -> None:
        # SimpleQueue.put is safe inside a signal handler.
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stops = 0

    def report(self, kind: Kind, reason: str) -> None:
        self._queue.put(Event(kind, reason))

    def wait(self, timeout_s: float) -> Event | None:
        """The next event; None where none came in time."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                event = self._queue.get(timeout=min(left_s, WAKE_S))
                self._stops += event.kind is Kind.STOP
                return event
        return None

    def wait_urgent(self, timeout_s: float) -> Event | None:
        """The next event that asks for more than the end that is under way. The first signal does not: all pods of a
        group may get SIGTERM."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            event = self.wait(left_s)
            if event and event.kind is not Kind.DRAIN and (event.kind is not Kind.STOP or self._stops > 1):
                return event
        return None
