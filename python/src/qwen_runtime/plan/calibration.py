"""Fits the efficiencies on the rows marked for it, and says how far every prediction is from its measurement.

python -m qwen_runtime.plan.calibration                    prints the constants that EFFICIENCY holds, fitted anew
python -m qwen_runtime.plan.calibration docs/planner.md    writes the tables of that file anew
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qwen_runtime.plan import gpus
from qwen_runtime.plan.measurements import MEASUREMENTS, MEMORY_ACCOUNTS, Measurement, shape_of
from qwen_runtime.plan.memory import MAX_SEQUENCES, account
from qwen_runtime.plan.roofline import EFFICIENCY, Efficiency, Prediction, Roofline
from qwen_runtime.units import GIB

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
        """Of the prediction, as a part of the measurement: 0.1 is 10 % too high."""
        return self.predicted / self.measured - 1


def predict(row: Measurement, efficiency: Efficiency) -> Prediction:
    shape, gpu = shape_of(row.model), gpus.get(row.gpu)
    memory = account(shape, gpu, row.layout)
    capacity = min(memory.kv_tokens // (row.input_tokens + row.output_tokens), MAX_SEQUENCES)
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

    Each constant in turn is moved by a factor that shrinks, until no move helps: slow to write home about, but without
    a library, and the same on every machine.
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


def tables(text: str) -> str:
    """The text with its generated tables, which stand between comments, written anew."""
    for name, lines in (("predictions", _predictions()), ("summary", _summary()), ("memory", _memory())):
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, rest = text.split(begin)
        text = "\n".join([before + begin, "", *lines, "", end + rest.split(end)[1]])
    return text


_UNITS = {"inter_token_s": ("between tokens", 1000, "ms"), "ttft_s": ("first token", 1000, "ms"),
          "output_tokens_per_s": ("tokens/s", 1, "")}  # fmt: skip


def _predictions() -> Iterator[str]:
    yield "| engine and layout | model | in flight | in / out | quantity | measured | predicted | error | fitted |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for found in compare(EFFICIENCY):
        row, (quantity, factor, unit) = found.row, _UNITS[found.quantity]
        values = (f"{value * factor:.4g} {unit}".strip() for value in (found.measured, found.predicted))
        fitted = "yes" if row.fit else ""
        yield (
            f"| {_linked(row.name, row.source)} | {row.model} | {row.concurrency:g} | {row.input_tokens} / "
            f"{row.output_tokens} | {quantity} | {' | '.join(values)} | {found.error:+.0%} | {fitted} |"
        )


def _linked(name: str, source: str) -> str:
    return f"[{name}]({source})" if source.startswith("https:") else f"{name}: {source}"


def _summary() -> Iterator[str]:
    yield "| rows | values | median error | within 10 % | within 25 % | worst |"
    yield "|---|---|---|---|---|---|"
    found = list(compare(EFFICIENCY))
    for name, fitted in (("fitted", True), ("not fitted", False)):
        errors = sorted((c.error for c in found if c.row.fit is fitted), key=abs)
        close, near = (sum(1 for error in errors if abs(error) <= limit) for limit in (0.10, 0.25))
        middle = abs(errors[len(errors) // 2])
        yield f"| {name} | {len(errors)} | {middle:.0%} | {close} | {near} | {errors[-1]:+.0%} |"


def _memory() -> Iterator[str]:
    yield "| account | model | GPU | quantity | vLLM said | predicted | error |"
    yield "|---|---|---|---|---|---|---|"
    for row in MEMORY_ACCOUNTS:
        memory = account(shape_of(row.model), gpus.get(row.gpu), row.layout, row.utilization)
        for quantity, said, size_bytes in (
            ("weights", row.weights_gib, memory.weights_bytes),
            ("headroom", row.headroom_gib, memory.headroom_bytes),
            ("KV cache", row.kv_gib, memory.kv_bytes),
        ):
            if said is not None:
                own = size_bytes / GIB
                yield (
                    f"| {_linked(row.name, row.source)} | {row.model} | {row.gpu} | {quantity} | {said:.2f} GiB | "
                    f"{own:.2f} GiB | {own / said - 1:+.1%} |"
                )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(tables(path.read_text()))
    if not sys.argv[1:]:
        for constant, value in asdict(fit()).items():
            print(f"{constant}={value:.3g}")
