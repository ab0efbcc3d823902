"""The tables of docs/planner.md: every prediction beside its measurement."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from qwen_runtime.plan.roofline import EFFICIENCY
from qwen_runtime.sizing import gpus
from qwen_runtime.sizing.memory import account
from qwen_runtime.units import GIB

from .fit import compare
from .measurements import MEMORY_ACCOUNTS, shape_of


def written_anew(text: str) -> str:
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
    for comparison in compare(EFFICIENCY):
        row, (quantity, factor, unit) = comparison.row, _UNITS[comparison.quantity]
        values = (f"{value * factor:.4g} {unit}".strip() for value in (comparison.measured, comparison.predicted))
        fitted = "yes" if row.fit else ""
        yield (
            f"| {_linked(row.name, row.source)} | {row.model} | {row.concurrency:g} | {row.input_tokens} / "
            f"{row.output_tokens} | {quantity} | {' | '.join(values)} | {comparison.error:+.0%} | {fitted} |"
        )


def _linked(name: str, source: str) -> str:
    return f"[{name}]({source})" if source.startswith("https:") else f"{name}: {source}"


def _summary() -> Iterator[str]:
    yield "| rows | values | median error | within 10 % | within 25 % | worst |"
    yield "|---|---|---|---|---|---|"
    comparisons = list(compare(EFFICIENCY))
    for name, fitted in (("fitted", True), ("not fitted", False)):
        errors = sorted((c.error for c in comparisons if c.row.fit is fitted), key=abs)
        close, near = (sum(1 for error in errors if abs(error) <= limit) for limit in (0.10, 0.25))
        middle = statistics.median(map(abs, errors))
        yield f"| {name} | {len(errors)} | {middle:.0%} | {close} | {near} | {errors[-1]:+.0%} |"


def _memory() -> Iterator[str]:
    yield "| account | model | GPU | quantity | vLLM said | predicted | error |"
    yield "|---|---|---|---|---|---|---|"
    for row in MEMORY_ACCOUNTS:
        memory = account(shape_of(row.model), gpus.get(row.gpu), row.layout, row.utilization)
        for quantity, stated_gib, size_bytes in (
            ("weights", row.weights_gib, memory.weights_bytes),
            ("headroom", row.headroom_gib, memory.headroom_bytes),
            ("KV cache", row.kv_gib, memory.kv_bytes),
        ):
            if stated_gib is not None:
                predicted_gib = size_bytes / GIB
                error = predicted_gib / stated_gib - 1
                yield (
                    f"| {_linked(row.name, row.source)} | {row.model} | {row.gpu} | {quantity} | "
                    f"{stated_gib:.2f} GiB | {predicted_gib:.2f} GiB | {error:+.1%} |"
                )
