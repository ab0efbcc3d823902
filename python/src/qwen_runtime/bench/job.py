"""One measurement from its settings to its document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qwen_runtime.bench import document, expectation, figures, saturation
from qwen_runtime.bench.arrivals import instants
from qwen_runtime.bench.expectation import Planned
from qwen_runtime.bench.figures import Slo
from qwen_runtime.bench.loads import Session, Source
from qwen_runtime.bench.runner import Asking, Run, run_closed, run_open
from qwen_runtime.bench.saturation import Search
from qwen_runtime.endpoint import address
from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Patience

WARMUP_USERS = 4


@dataclass(frozen=True, slots=True)
class Job:
    url: str
    api_key: str
    model: str | None
    variant: str | None
    source: Source
    scale: float
    count: int
    warmup: int
    rate: float | None
    """Arrivals a second; None for a closed loop."""
    users: int | None
    arrivals: str
    shape: float
    seed: int
    slo: Slo
    plan: Planned | None
    hardware: str
    gpus: int | None
    patience: Patience
    own_delay_s: float
    fields: dict[str, Any]
    """Fields of every request's body besides its question, such as a temperature."""
    step_s: float
    attainment: float


async def measure(job: Job) -> dict[str, Any]:
    """The document of a run. HostError where the client was late, or nothing was answered."""
    asking, description = await _prepare(job)
    started = document.now()
    warm = await _warm_up(job, asking)
    asked = job.source.sessions(job.count, job.seed, scale=job.scale)
    run = await _run(job, asking, asked)
    figures.refuse_if_empty(run)
    figures.refuse_if_late(run, job.own_delay_s)
    summary = figures.summary(run, job.slo, job.gpus)
    return {
        **_head(job, description, started),
        "warmup": {"requests": len(warm.exchanges), "outcomes": figures.outcomes(warm.exchanges)},
        "expected": document.expected(job.plan, job.users or summary["mean_in_flight"]),
        "figures": summary,
        "guide": expectation.GUIDE,
        "own_delay": {**figures.own_delay(run), "limit_s": job.own_delay_s},
        "requests": document.requests(run.exchanges, job.slo),
    }


async def saturate(job: Job) -> dict[str, Any]:
    """The document of a search for the highest rate that keeps the SLO."""
    asking, description = await _prepare(job)
    started = document.now()
    await _warm_up(job, asking)

    async def step(rate: float, count: int, number: int) -> Run:
        seed = job.seed + 1000 * (number + 1)
        print(f"{rate:.2f} arrivals/s: {count} sessions", file=sys.stderr)
        asked = job.source.sessions(count, seed, scale=job.scale)
        return await run_open(asking, asked, _schedule(job, rate, count, seed))

    search = Search(job.slo, job.attainment, job.step_s, job.own_delay_s)
    found = await saturation.find(search, job.rate or 1.0, step)
    return {**_head(job, description, started), "kind": "saturation", "attainment": job.attainment, **found}


async def _prepare(job: Job) -> tuple[Asking, address.Description]:
    description = await address.describe(job.url, job.api_key, job.model, job.variant)
    endpoint = Endpoint(job.url.rstrip("/"), job.api_key, description.model, job.variant)
    return Asking(endpoint, job.patience, job.fields), description


async def _warm_up(job: Job, asking: Asking) -> Run:
    """Sessions that are not measured: the engine compiles, caches fill, connections are made."""
    asked = job.source.sessions(job.warmup, job.seed, scale=job.scale, warmup=True)
    return await run_closed(asking, asked, WARMUP_USERS)


async def _run(job: Job, asking: Asking, asked: Sequence[Session]) -> Run:
    progress = _Progress(sum(len(session.turns) for session in asked))
    if job.rate is None:
        return await run_closed(asking, asked, job.users or 1, progress)
    return await run_open(asking, asked, _schedule(job, job.rate, job.count, job.seed), progress)


def _schedule(job: Job, rate: float, count: int, seed: int) -> list[float]:
    return instants(job.arrivals, rate, count, np.random.default_rng([seed, 3]), shape=job.shape)


def _head(job: Job, description: address.Description, started: str) -> dict[str, Any]:
    return {
        "format": document.FORMAT,
        "kind": document.KIND,
        "started": started,
        "ended": document.now(),
        "harness": document.harness(),
        "subject": document.subject(job.url, description, job.hardware, job.gpus),
        "load": {
            **job.source.told(),
            "scale": job.scale,
            "sessions": job.count,
            "loop": "closed" if job.rate is None else "open",
            "users": job.users,
            "rate_per_s": job.rate,
            "arrivals": None if job.rate is None else job.arrivals,
            "shape": job.shape if job.arrivals == "gamma" else None,
            "ignore_eos": False,
            **job.fields,
            "seed": job.seed,
        },
        "slo": asdict(job.slo),
    }


class _Progress:
    """A line each tenth of the requests."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def __call__(self, exchange: Exchange) -> None:
        self._done += 1
        if self._done * 10 // self._total > (self._done - 1) * 10 // self._total:
            print(
                f"{self._done} of at most {self._total} requests ended, last: {exchange.outcome.value}", file=sys.stderr
            )
