"""Runs of sessions against an endpoint: open loop by a schedule, or closed loop by a number of users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from qwen_runtime.bench.loads import Session, user
from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Outcome, Patience, ask, new_session

HEARTBEAT_S = 0.005
LEAD_S = 0.1
"""Time between the making of the schedule and its first instant."""
APART_S = 0.005
"""Time between the first requests of two users of a closed loop: all at one instant would make the client late."""
LONGEST_PAUSE_S = 60.0
"""The longest Retry-After that a user of a closed loop keeps to."""


@dataclass(slots=True)
class Run:
    """The exchanges of a run, and the delays of the client itself, in seconds."""

    started_s: float = 0.0
    ended_s: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)
    loop_delays_s: list[float] = field(default_factory=list)
    """Lateness of a timer every 5 ms: how late any event of the endpoint may have been noticed."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Parts of every request of a run."""

    endpoint: Endpoint
    patience: Patience
    extra: dict[str, Any]
    """Fields of the body, such as a temperature."""


Progress = Callable[[Exchange], None]


async def run_open(
    asking: Asking, sessions: Sequence[Session], instants: Sequence[float], progress: Progress | None = None
) -> Run:
    """Start each session at its instant, whatever became of those before it."""
    async with new_session(asking.endpoint, asking.patience) as http:
        run = Run(started_s=time.monotonic() + LEAD_S)

        def follow(session: Session, instant: float) -> Coroutine[Any, Any, Exchange]:
            return converse(http, asking, session, run, run.started_s + instant, progress)

        await measured(run, [follow(session, instant) for session, instant in zip(sessions, instants, strict=True)])
        return run


async def run_closed(asking: Asking, sessions: Sequence[Session], users: int, progress: Progress | None = None) -> Run:
    """Let each user begin its next session when its last one has ended."""
    async with new_session(asking.endpoint, asking.patience) as http:
        run = Run(started_s=time.monotonic() + LEAD_S)
        waiting: Iterator[Session] = iter(sessions)

        async def work(number: int) -> None:
            scheduled = run.started_s + number * APART_S
            for session in waiting:
                last = await converse(http, asking, session, run, scheduled, progress)
                pause = min(last.retry_after_s or 0.0, LONGEST_PAUSE_S)
                scheduled = last.ended_s + pause

        await measured(run, [work(number) for number in range(min(users, len(sessions)))])
        return run


async def measured(run: Run, work: list[Coroutine[Any, Any, Any]]) -> None:
    """Do the work, with the client's own delay watched, and note its end."""
    heart = asyncio.create_task(_beat(run.loop_delays_s))
    try:
        await asyncio.gather(*work)
    finally:
        heart.cancel()
        run.ended_s = time.monotonic()


async def _beat(delays_s: list[float]) -> None:
    while True:
        due = time.monotonic() + HEARTBEAT_S
        await asyncio.sleep(HEARTBEAT_S)
        delays_s.append(max(0.0, time.monotonic() - due))


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.monotonic()))


async def converse(
    http: aiohttp.ClientSession,
    asking: Asking,
    session: Session,
    run: Run,
    scheduled: float,
    progress: Progress | None,
) -> Exchange:
    """The turns of a session, one after the other; the first that is not answered ends it."""
    history = session.beginning()
    for number, turn in enumerate(session.turns):
        exchange = Exchange(f"{session.name}.{number}", scheduled)
        body = {
            "model": asking.endpoint.model,
            "max_tokens": turn.answer_tokens,
            **asking.extra,
            **session.question(history, turn),
        }
        await _until(scheduled)
        await ask(http, asking.endpoint.url + session.path, body, exchange)
        run.exchanges.append(exchange)
        if progress:
            progress(exchange)
        if exchange.outcome is not Outcome.ANSWERED or number + 1 == len(session.turns):
            return exchange
        if session.grows:
            history += [user(turn), {"role": "assistant", "content": exchange.text}]
        scheduled = exchange.ended_s + session.turns[number + 1].wait_s
    raise ValueError(f"{session.name} has no turns")
