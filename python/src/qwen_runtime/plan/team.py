"""The part of a plan's document that is about a team and its busy hour."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from qwen_runtime.plan import people, planner
from qwen_runtime.plan.people import BusyHour, Sized


def build(sized: Sized) -> dict[str, Any]:
    """The sent turns, the hosts that they need and what users see there; the same for larger kinds of GPUs."""
    workload = sized.request.workload
    assert workload
    return {
        **asdict(workload),
        "sources": dict(workload.sources),
        **_answer(sized),
        "others": [_answer(other) for other in people.others(sized.request)],
    }


def _answer(sized: Sized) -> dict[str, Any]:
    request = sized.request
    best = planner.choose(request)
    return {
        "gpu": request.gpu.name,
        "nodes_needed": sized.needed,
        "nodes_spare": request.spare,
        "nodes": request.site.nodes,
        "layout": best.layout.name if best else None,
        "busy_hour": _rounded(sized.hour) if sized.hour else None,
        "why": sized.why,
    }


def _rounded(hour: BusyHour) -> dict[str, float | None]:
    """JSON has no infinity: null is a number that grows without end."""
    return {key: round(value, 3) if math.isfinite(value) else None for key, value in asdict(hour).items()}
