"""The same sessions asked of two endpoints, interleaved in time, so that whatever else changes changes for both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qwen_runtime.bench.figures import Slo
from qwen_runtime.bench.loads import Session
from qwen_runtime.bench.runner import APART_S, LEAD_S, Asking, Run, converse, measured
from qwen_runtime.compare import harm
from qwen_runtime.endpoint.exchange import new_session


@dataclass(slots=True)
class Pairs:
    """Sessions that one of the endpoints alone answered within the SLO, as seen from the candidate."""

    lost: int = 0
    won: int = 0
    asked: int = 0

    @property
    def shows_harm(self) -> bool:
        return harm.is_shown(self.lost, self.won)


async def run_pairs(
    baseline: Asking, candidate: Asking, sessions: Sequence[Session], users: int, slo: Slo, seed: int
) -> tuple[Run, Run, Pairs]:
    """Let each user ask one session of both endpoints, one after the other, in an order drawn for each session. It
    ends with the sessions, or when harm is shown, which is a mistake at a bounded rate however often it is looked at.
    """
    rng = np.random.default_rng([seed, 4])
    begun = time.monotonic() + LEAD_S
    runs, pairs = (Run(started_s=begun), Run(started_s=begun)), Pairs()
    async with (
        new_session(baseline.endpoint, baseline.patience) as first,
        new_session(candidate.endpoint, candidate.patience) as second,
    ):
        arms = ((first, baseline), (second, candidate))
        waiting: Iterator[Session] = iter(sessions)

        async def one(arm: int, session: Session, scheduled: float) -> tuple[bool, float]:
            """Whether every turn was answered within the SLO, and the end of the last one."""
            held: list[bool] = []
            http, asking = arms[arm]
            last = await converse(
                http, asking, session, runs[arm], scheduled, lambda turn: held.append(slo.holds(turn))
            )
            return all(held) and len(held) == len(session.turns), last.ended_s

        async def work(number: int) -> None:
            scheduled = begun + number * APART_S
            for session in waiting:
                if pairs.shows_harm:
                    return
                good = [False, False]
                for arm in map(int, rng.permutation(2)):
                    good[arm], scheduled = await one(arm, session, scheduled)
                pairs.asked += 1
                pairs.lost += good[0] and not good[1]
                pairs.won += good[1] and not good[0]

        await measured(runs[0], [work(number) for number in range(min(users, len(sessions)))])
        runs[1].ended_s, runs[1].loop_delays_s = runs[0].ended_s, runs[0].loop_delays_s
    return (*runs, pairs)
