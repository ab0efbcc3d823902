"""The constants of the predictions, fitted on the measurements that are marked for it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from qwen_runtime.plan.roofline import Efficiency, Prediction, Roofline
from qwen_runtime.sizing import gpus
from qwen_runtime.sizing.memory import BATCHED_TOKENS, account
from qwen_runtime.units import GIGA

from .measurements import MEASUREMENTS, Measurement, shape_of

# Where the search begins, and what no share may pass.
_START = Efficiency(0.8, 0.5, 0.5, 0.5, 0.3, 0.2, 16, 40e-6, 40e-6, 30e-6, 500e-6, 20e-3, 1.5, 2.0)
_LARGEST_SHARE = 0.95
_SHARES = ("dense_bandwidth", "expert_bandwidth", "dense_compute", "older_compute", "expert_compute", "fp8_compute")


@dataclass(frozen=True, slots=True)
class Comparison:
    row: Measurement
    quantity: str
    """Field that Measurement and Prediction share."""
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Error of the prediction as a share of the measurement: 0.1 is 10 % too high."""
        return self.predicted / self.measured - 1


def predict(row: Measurement, efficiency: Efficiency) -> Prediction:
    gpu = gpus.get(row.gpu)
    if row.memory_gb_s:
        gpu = replace(gpu, bandwidth_bytes_per_s=row.memory_gb_s * GIGA)
    shape = gpus.as_computed(shape_of(row.model), gpu)
    memory = account(shape, gpu, row.layout)
    held_by_group = min(memory.requests(row.input_tokens + row.output_tokens), row.most_sequences)
    capacity = held_by_group * row.layout.attention_groups
    roofline = Roofline(shape, gpu, row.layout, efficiency)
    prediction = roofline.predict(row.concurrency, row.input_tokens, row.output_tokens, capacity)
    if row.varied:
        rate = row.concurrency * row.output_tokens / _duration_s(row, roofline, capacity)
        return replace(prediction, output_tokens_per_s=rate)
    return prediction


def _duration_s(row: Measurement, roofline: Roofline, capacity: int) -> float:
    """Time from the first prompt to the last token of a run whose answers have the lengths of ShareGPT, which are about
    exponentially spread: prompts are taken in, then ever fewer requests decode until the longest answer ends."""
    left, mean = row.concurrency, row.output_tokens
    total = left * row.input_tokens / BATCHED_TOKENS * roofline.step_s(0, 0, BATCHED_TOKENS, row.input_tokens / 2)
    stride = mean / 50
    while left >= 1:
        running = min(left, capacity)
        total += stride * roofline.step_s(running, row.input_tokens + mean)
        left -= stride * running / mean
    return total


def compare(efficiency: Efficiency, rows: tuple[Measurement, ...] = MEASUREMENTS) -> Iterator[Comparison]:
    for row in rows:
        prediction = predict(row, efficiency)
        for quantity in ("inter_token_s", "ttft_s", "output_tokens_per_s"):
            measured = getattr(row, quantity)
            if measured is not None:
                yield Comparison(row, quantity, measured, getattr(prediction, quantity))


def likely(efficiency: Efficiency) -> dict[str, tuple[float, float]]:
    """Measured over predicted of each quantity at a tenth and at nine tenths of the rows that are not fitted."""
    ratios: dict[str, list[float]] = {}
    for comparison in compare(efficiency, tuple(row for row in MEASUREMENTS if not row.fit)):
        ratios.setdefault(comparison.quantity, []).append(comparison.measured / comparison.predicted)
    tenths = {name: statistics.quantiles(values, n=10, method="inclusive") for name, values in ratios.items()}
    return {name: (cuts[0], cuts[-1]) for name, cuts in tenths.items()}


def fit() -> Efficiency:
    """The constants with the smallest squared logarithm of predicted / measured over the marked rows.

    Each constant in turn is moved by a factor that shrinks, until no move helps. Slow, but needs no library and gives
    the same result on every machine.
    """
    rows = tuple(row for row in MEASUREMENTS if row.fit)
    best, least = _START, _loss(_START, rows)
    factor = 1.3
    while factor > 1.0005:
        moved = False
        for name in asdict(_START):
            for change in (factor, 1 / factor):
                trial = _moved(best, name, change)
                loss = _loss(trial, rows)
                if loss < least:
                    best, least, moved = trial, loss, True
        if not moved:
            factor = math.sqrt(factor)
    return best


def _moved(efficiency: Efficiency, name: str, change: float) -> Efficiency:
    value = getattr(efficiency, name) * change
    return replace(efficiency, **{name: min(value, _LARGEST_SHARE) if name in _SHARES else value})


def _loss(efficiency: Efficiency, rows: tuple[Measurement, ...]) -> float:
    return sum(math.log(c.predicted / c.measured) ** 2 for c in compare(efficiency, rows))
