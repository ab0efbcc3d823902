"""A comparison of two endpoints while they serve."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from qwen_runtime.bench import document as bench
from qwen_runtime.bench import figures
from qwen_runtime.bench.figures import Slo
from qwen_runtime.bench.loads import Source
from qwen_runtime.bench.paired import run_pairs
from qwen_runtime.bench.runner import Asking, Run, run_closed
from qwen_runtime.compare import document, harm
from qwen_runtime.endpoint import address
from qwen_runtime.endpoint.address import Description, Endpoint
from qwen_runtime.endpoint.exchange import Patience

NAMED = ("model", "hardware")
"""Differences that are meant where two endpoints are named."""


@dataclass(frozen=True, slots=True)
class Arm:
    url: str
    model: str | None
    variant: str | None


@dataclass(frozen=True, slots=True)
class Job:
    baseline: Arm
    candidate: Arm
    api_key: str
    source: Source
    scale: float
    count: int
    warmup: int
    users: int
    seed: int
    slo: Slo
    hardware: str
    patience: Patience
    own_delay_s: float
    extra: dict[str, Any]
    keep: float


async def compare(job: Job) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The document of the comparison, and both results. HostError for a late client, or without an answer."""
    arms = [await _prepare(job, arm) for arm in (job.baseline, job.candidate)]
    (baseline, described_baseline), (candidate, described_candidate) = arms
    warm = job.source.sessions(job.warmup, job.seed, scale=job.scale, warmup=True)
    await asyncio.gather(*(run_closed(asking, warm, job.users) for asking, _ in arms))
    started = bench.now()
    asked = job.source.sessions(job.count, job.seed, scale=job.scale)
    before, after, pairs = await run_pairs(baseline, candidate, asked, job.users, job.slo, job.seed)
    for run in (before, after):
        figures.refuse_if_empty(run)
        figures.refuse_if_late(run, job.own_delay_s)
    first = _result(job, before, job.baseline.url, described_baseline, started)
    second = _result(job, after, job.candidate.url, described_candidate, started)
    compared = document.compare(first, second, keep=job.keep, across=NAMED)
    judged = {
        **compared,
        "promotes": compared["promotes"] and not pairs.shows_harm,
        "harm": {
            **asdict(pairs),
            "shown": pairs.shows_harm,
            "evidence": round(harm.evidence(pairs.lost, pairs.won), 3),
        },
    }
    return judged, first, second


async def _prepare(job: Job, arm: Arm) -> tuple[Asking, Description]:
    described = await address.describe(arm.url, job.api_key, arm.model, arm.variant)
    endpoint = Endpoint(arm.url.rstrip("/"), job.api_key, described.model, arm.variant)
    return Asking(endpoint, job.patience, job.extra), described


def _result(job: Job, run: Run, url: str, described: Description, started: str) -> dict[str, Any]:
    return {
        "format": bench.FORMAT,
        "kind": bench.KIND,
        "started": started,
        "ended": bench.now(),
        "harness": bench.harness(),
        "subject": bench.subject(url, described, job.hardware, None),
        "load": {
            **job.source.told(),
            "scale": job.scale,
            "sessions": job.count,
            "users": job.users,
            **job.extra,
            "seed": job.seed,
        },
        "requests": bench.requests(run.exchanges, job.slo),
    }
