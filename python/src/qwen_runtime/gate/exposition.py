"""The history in Prometheus' text format: latest figures, their times, and what became worse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qwen_runtime.gate.history import Figure
from qwen_runtime.gate.regressions import worse


def metrics(figures: Sequence[Figure]) -> str:
    """`figures` are in order of time."""
    latest = {(figure.kind, figure.model, figure.hardware, figure.name): figure for figure in figures}
    values = [(_labels(figure), figure) for figure in latest.values()]
    ends = [(labels, datetime.fromisoformat(figure.ended).timestamp()) for labels, figure in values]
    lost = [(_labels(each.figure, of=each.of), each.ratio) for each in worse(figures)]
    lines = [
        "# HELP qwen_evaluation_figure Latest figure of bench or evaluate; its unit is in the name.",
        "# TYPE qwen_evaluation_figure gauge",
        *(f"qwen_evaluation_figure{labels} {figure.value!r}" for labels, figure in values),
        "# HELP qwen_evaluation_ended_timestamp_seconds End of the measurement that the figure is from.",
        "# TYPE qwen_evaluation_ended_timestamp_seconds gauge",
        *(f"qwen_evaluation_ended_timestamp_seconds{labels} {end!r}" for labels, end in ends),
        "# HELP qwen_evaluation_worse_ratio Share that the latest figure lost of the median before it.",
        "# TYPE qwen_evaluation_worse_ratio gauge",
        *(f"qwen_evaluation_worse_ratio{labels} {ratio!r}" for labels, ratio in lost),
    ]
    return "\n".join(lines) + "\n"


def newest(figures: Sequence[Figure], started_s: float) -> str:
    """Time of the newest measurement; while there is none, the start of the program, so that its age grows too."""
    ends = [datetime.fromisoformat(figure.ended).timestamp() for figure in figures]
    return (
        "# HELP qwen_evaluation_newest_timestamp_seconds End of the newest measurement, or start of this program.\n"
        "# TYPE qwen_evaluation_newest_timestamp_seconds gauge\n"
        f"qwen_evaluation_newest_timestamp_seconds {max(ends, default=started_s)!r}\n"
    )


def _labels(figure: Figure, **more: str) -> str:
    named = {name: getattr(figure, name) for name in ("kind", "model", "hardware", "name")} | more
    escaped = {name: text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, text in named.items()}
    return "{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + "}"
