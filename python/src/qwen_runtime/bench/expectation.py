"""The planner's expectation of the measured load, and the guide's target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qwen_runtime.plan import reader

GUIDE = {"output_tokens_per_s_per_gpu": 300.0, "latency_s": 0.5}
"""The guide's target: 300 tokens a second from each GPU, below 500 ms. The latency is read as the first token's."""
COLUMNS = ("ttft_s", "inter_token_s", "output_tokens_per_s", "output_tokens_per_s_per_gpu")


@dataclass(frozen=True, slots=True)
class Planned:
    """The parts of a plan that a measurement is held to."""

    model: str
    hardware: str
    gpus: int
    layout: str
    input_tokens: int
    output_tokens: int
    points: list[dict[str, float]]
    """Predictions by requests in flight, in ascending order."""


def read(path: Path) -> Planned:
    """The plan in a file; refused as `qwen-runtime serve` refuses it."""
    reader.read(path)
    plan = json.loads(path.read_bytes())
    hardware = plan["hardware"]
    return Planned(
        model=plan["model"]["name"],
        hardware=f"{hardware['nodes']} x {hardware['gpus_per_node']} x {hardware['gpu']}",
        gpus=hardware["nodes"] * hardware["gpus_per_node"],
        layout=plan["layout"]["name"],
        input_tokens=plan["wishes"]["input_tokens"],
        output_tokens=plan["wishes"]["output_tokens"],
        points=sorted(plan["predicted"], key=lambda point: point["concurrency"]),
    )


def at(planned: Planned, in_flight: float) -> dict[str, Any]:
    """The prediction for a number of requests in flight, by linear interpolation between the plan's points."""
    known = [point["concurrency"] for point in planned.points]
    values = {
        name: round(float(np.interp(in_flight, known, [point[name] for point in planned.points])), 5)
        for name in COLUMNS
    }
    return {
        "in_flight": round(in_flight, 2),
        "within_the_plan": known[0] <= in_flight <= known[-1],
        "input_tokens": planned.input_tokens,
        "output_tokens": planned.output_tokens,
        **values,
    }
