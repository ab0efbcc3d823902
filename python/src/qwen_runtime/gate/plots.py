"""The history as one HTML page: a plot for each figure, a line for each model and hardware."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from matplotlib.figure import Figure as Drawing

from qwen_runtime.compare.report import STYLE, svg
from qwen_runtime.gate.history import Figure

Series = dict[str, list[Figure]]


def html(figures: Sequence[Figure]) -> str:
    """`figures` are in order of time."""
    plots: dict[tuple[str, str], Series] = {}
    for figure in figures:
        series = plots.setdefault((figure.kind, figure.name), {})
        series.setdefault(f"{figure.model}, {figure.hardware}", []).append(figure)
    parts = [f"<h2>{escape(kind)}: {escape(name)}</h2>{svg(_drawn(series))}" for (kind, name), series in plots.items()]
    head = f'<meta charset="utf-8"><title>History</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>History</h1>{"".join(parts)}</body></html>\n'


def _drawn(series: Series) -> Drawing:
    drawing = Drawing(figsize=(8, 2.5), layout="constrained")
    axes = drawing.subplots()
    for label, figures in series.items():
        ends = [datetime.fromisoformat(figure.ended) for figure in figures]
        axes.plot(ends, [figure.value for figure in figures], "o-", markersize=4, label=label)  # type: ignore[arg-type]
    # From 0, so that a small change does not look like a large one.
    axes.set_ylim(bottom=min(0.0, *axes.get_ylim()))
    axes.tick_params(axis="x", labelrotation=30)
    axes.legend(fontsize="small")
    return drawing
