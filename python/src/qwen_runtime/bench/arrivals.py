"""Instants at which users arrive, as seconds from the start of a run."""

from __future__ import annotations

import numpy as np

PROCESSES = ("constant", "poisson", "gamma")


def instants(process: str, rate: float, count: int, rng: np.random.Generator, *, shape: float = 1.0) -> list[float]:
    """Arrivals at `rate` a second on average.

    shape: of the gamma process; 1 is Poisson, below 1 users come in bursts, above 1 more evenly.
    """
    if process == "constant":
        gaps = np.full(count, 1 / rate)
    elif process == "poisson":
        gaps = rng.exponential(1 / rate, count)
    elif process == "gamma":
        gaps = rng.gamma(shape, 1 / (shape * rate), count)
    else:
        raise ValueError(process)
    return [float(instant) for instant in np.cumsum(gaps) - gaps[0]]
