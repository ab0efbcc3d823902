"""Events: changes of a GPU's series, each with its time and the boot of its host.

A series has one value at a time, so an event is a change that was seen: the first value in the window says nothing of
when it came. An XID that comes twice in a row, or between two scrapes, is not seen twice.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from qwen_runtime.repair.nodes import Node
from qwen_runtime.repair.table import OF_SERIES, OF_XID, XID_SERIES, Row, unknown

# Times in seconds of Prometheus' clock, with values.
Samples: TypeAlias = "list[tuple[float, float]]"


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    node: str
    gpu: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Event:
    """Fault of one GPU at one time, in one boot of its host."""

    node: str
    gpu: str
    row: Row
    at_s: float
    boot_id: str

    @property
    def fault(self) -> tuple[str, ...]:
        """The identity of a fault that is told once, however often it comes while it lasts."""
        return self.node, self.gpu, self.row.fault, self.boot_id

    @property
    def name(self) -> str:
        """Name that is the same whoever finds the event, and however often."""
        said = (*self.fault, f"{self.at_s:.3f}")
        return f"repair-{hashlib.sha256(chr(0).join(said).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Found:
    """Events that count, and by reason the number of changes that do not."""

    events: list[Event]
    dropped: dict[str, int]


def find(series: Iterable[Series], nodes: Mapping[str, Node], now_s: float, expire_s: float, stale_s: float) -> Found:
    """Events of the last `expire_s` seconds. Of equal faults of one GPU the last one stands for all.

    A series whose last value is older than `stale_s` belongs to a host or an exporter that is away.
    """
    events: dict[tuple[str, str, str], Event] = {}
    dropped: dict[str, int] = {}
    for one in series:
        for at_s, row in _changes(one):
            reason = _why_not(one, at_s, nodes.get(one.node), now_s, expire_s, stale_s)
            if reason:
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            event = Event(one.node, one.gpu, row, at_s, nodes[one.node].boot_id)
            events[one.node, one.gpu, row.fault] = event
    return Found(sorted(events.values(), key=lambda event: event.at_s), dropped)


def _changes(series: Series) -> Iterable[tuple[float, Row]]:
    known = [sample for sample in series.samples if math.isfinite(sample[1])]
    for (_, before), (at_s, value) in itertools.pairwise(known):
        if series.name == XID_SERIES:
            if value not in (before, 0):
                yield at_s, OF_XID.get(int(value)) or unknown(int(value))
        elif value > before:
            yield at_s, OF_SERIES[series.name]


def _why_not(series: Series, at_s: float, node: Node | None, now_s: float, expire_s: float, stale_s: float) -> str:
    if at_s < now_s - expire_s:
        return "expired"
    if series.samples[-1][0] < now_s - stale_s:
        return "no longer measured"
    if node is None:
        return "unknown node"
    if node.measured_since_s is None:
        return "exporter not running"
    # The exporter's container starts anew with its host: an event of the boot before is older.
    if at_s < node.measured_since_s:
        return "before the exporter's start"
    return ""
