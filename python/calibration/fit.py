"""The constants of the predictions, fitted on the measurements that are marked for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from qwen_runtime.plan.roofline import Efficiency, Prediction, Roofline
from qwen_runtime.sizing import gpus
from qwen_runtime.sizing.memory import MAX_SEQUENCES, account

from .measurements import MEASUREMENTS, Measurement, shape_of

# Where the search begins, and what no share may pass.
_START = Efficiency(0.8, 0.5, 0.5, 0.3, 0.2, 40e-6, 40e-6, 30e-6, 500e-6, 20e-3, 1.5, 2.0)
_LARGEST_SHARE = 0.95
_SHARES = ("dense_bandwidth", "expert_bandwidth", "dense_compute", "expert_compute", "fp8_compute")


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
    shape, gpu = shape_of(row.model), gpus.get(row.gpu)
    memory = account(shape, gpu, row.layout)
    held_by_group = min(memory.kv_tokens // (row.input_tokens + row.output_tokens), MAX_SEQUENCES)
    capacity = held_by_group * row.layout.attention_groups
    roofline = Roofline(shape, gpu, row.layout, efficiency)
    return roofline.predict(row.concurrency, row.input_tokens, row.output_tokens, capacity)


def compare(efficiency: Efficiency, rows: tuple[Measurement, ...] = MEASUREMENTS) -> Iterator[Comparison]:
    for row in rows:
        prediction = predict(row, efficiency)
        for quantity in ("inter_token_s", "ttft_s", "output_tokens_per_s"):
            measured = getattr(row, quantity)
            if measured is not None:
                yield Comparison(row, quantity, measured, getattr(prediction, quantity))


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
