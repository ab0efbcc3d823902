"""Amounts that were spent in the last minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MINUTE_S = 60.0
SHORTEST_S = 0.001
"""Shortest wait, so that rounding makes none of a wait."""


@dataclass(slots=True)
class Spent:
    """One amount and when it was spent, in seconds of the caller's clock."""

    at_s: float
    amount: int


class Window:
    """Exact sum of the amounts of any 60 s. A bucket that fills at a steady rate would let twice the limit pass in the
    minute after a quiet one."""

    def __init__(self) -> None:
        self._spent: deque[Spent] = deque()
        self._sum = 0

    def spend(self, now_s: float, amount: int) -> Spent:
        spent = Spent(now_s, amount)
        self._spent.append(spent)
        self._sum += amount
        return spent

    def correct(self, spent: Spent, amount: int) -> None:
        """Replaces an amount that was an estimate. It still counts from the time at which it was spent."""
        if self._spent and spent.at_s >= self._spent[0].at_s:
            self._sum += amount - spent.amount
        spent.amount = amount

    def used(self, now_s: float) -> int:
        while self._spent and self._spent[0].at_s <= now_s - MINUTE_S:
            self._sum -= self._spent.popleft().amount
        return self._sum

    def empty_s(self, now_s: float) -> float:
        """Seconds until nothing counts any more."""
        return self._spent[-1].at_s + MINUTE_S - now_s if self.used(now_s) else 0.0

    def wait_s(self, now_s: float, amount: int, limit: int) -> float:
        """Seconds until `amount` more stays within `limit`, 0 if it does now. An amount above the limit waits for an
        empty window."""
        excess, wait_s = self.used(now_s) + amount - limit, 0.0
        for spent in self._spent:
            if excess <= 0:
                break
            excess -= spent.amount
            wait_s = max(SHORTEST_S, spent.at_s + MINUTE_S - now_s)
        return wait_s
