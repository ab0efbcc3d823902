"""Schedules transfers of a model to many hosts, so that the mirror's link is not the limit.

The mirror feeds the first `mirror_fan_out` hosts and no other, because nothing would make later ones wait for it. Then
every host that has the model feeds `fan_out` others, so their number grows by the factor 1 + fan_out with each round.
Nothing else has to keep the order: `qwen-runtime weights share` holds a host to its fan-out, and
`qwen-runtime weights stage --neighbour` waits for the host that the schedule names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

MIRROR = "mirror"


@dataclass(frozen=True, slots=True)
class Transfer:
    giver: str
    taker: str


@dataclass(frozen=True, slots=True)
class Schedule:
    rounds: tuple[tuple[Transfer, ...], ...]
    fan_out: int
    mirror_fan_out: int

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        return tuple(transfer for round_ in self.rounds for transfer in round_)

    def neighbours(self) -> dict[str, list[str]]:
        """Hosts that each host asks before the mirror: its giver, then its giver's giver and so on."""
        chains: dict[str, list[str]] = {}
        for transfer in self.transfers:
            above = [] if transfer.giver == MIRROR else [transfer.giver, *chains[transfer.giver]]
            chains[transfer.taker] = above
        return chains


def schedule(hosts: Sequence[str], fan_out: int, mirror_fan_out: int) -> Schedule:
    """Rounds in which every host, in the given order, gets the model once from a giver that had it before the round."""
    waiting = iter(hosts)
    complete: list[str] = []
    rounds: list[tuple[Transfer, ...]] = []
    givers = [MIRROR] * mirror_fan_out
    while takers := list(islice(waiting, len(givers))):
        rounds.append(tuple(Transfer(giver, taker) for giver, taker in zip(givers, takers, strict=False)))
        complete += takers
        # Each giver's first taker comes before any second one, so that a short round is spread evenly.
        givers = complete * fan_out
    return Schedule(tuple(rounds), fan_out, mirror_fan_out)


@dataclass(frozen=True, slots=True)
class Site:
    """Rates of the links, in each direction at once. The network between them is assumed to be no limit."""

    size_bytes: float
    host_bytes_per_s: float
    mirror_bytes_per_s: float


@dataclass(slots=True)
class Outcome:
    finished_s: dict[str, float] = field(default_factory=dict)
    """Seconds from the beginning until a host has the model, by host."""
    most_uploads: Counter[str] = field(default_factory=Counter)
    """Largest number of hosts that a giver fed at the same time, by giver."""
    mirror_bytes: float = 0

    @property
    def seconds(self) -> float:
        return max(self.finished_s.values(), default=0.0)


def simulate(schedule: Schedule, site: Site) -> Outcome:
    """Plays the schedule: a transfer begins when its giver has the model and a free slot, whatever the round.

    The hosts that a giver feeds share its link evenly; a taker takes at most what its own link carries.
    """
    outcome = Outcome()
    queued = list(schedule.transfers)
    left_bytes: dict[Transfer, float] = {}
    now_s = 0.0
    while queued or left_bytes:
        for transfer in _startable(queued, left_bytes, outcome.finished_s, schedule):
            queued.remove(transfer)
            left_bytes[transfer] = site.size_bytes
        uploads = Counter(transfer.giver for transfer in left_bytes)
        outcome.most_uploads |= uploads
        rates = {transfer: _rate(transfer, uploads, site) for transfer in left_bytes}
        step_s = min(left_bytes[transfer] / rates[transfer] for transfer in left_bytes)
        now_s += step_s
        for transfer in list(left_bytes):
            left_bytes[transfer] -= step_s * rates[transfer]
            if left_bytes[transfer] <= site.size_bytes * 1e-9:  # rounding leaves this much at most
                del left_bytes[transfer]
                outcome.finished_s[transfer.taker] = now_s
                outcome.mirror_bytes += site.size_bytes * (transfer.giver == MIRROR)
    return outcome


def from_mirror_seconds(hosts: int, site: Site) -> float:
    """Seconds until the last host has the model when all take it from the mirror at once."""
    return site.size_bytes / min(site.host_bytes_per_s, site.mirror_bytes_per_s / hosts)


def _startable(
    queued: Sequence[Transfer], running: dict[Transfer, float], complete: dict[str, float], schedule: Schedule
) -> list[Transfer]:
    """Transfers that can start now, in the schedule's order: as many for each giver as it has free slots."""
    uploads = Counter(transfer.giver for transfer in running)
    startable = []
    for transfer in queued:
        slots = schedule.mirror_fan_out if transfer.giver == MIRROR else schedule.fan_out
        if uploads[transfer.giver] < slots and (transfer.giver == MIRROR or transfer.giver in complete):
            uploads[transfer.giver] += 1
            startable.append(transfer)
    return startable


def _rate(transfer: Transfer, uploads: Counter[str], site: Site) -> float:
    link = site.mirror_bytes_per_s if transfer.giver == MIRROR else site.host_bytes_per_s
    return min(link / uploads[transfer.giver], site.host_bytes_per_s)
