"""Series of a panel on a common grid of times, as the page draws them."""

from __future__ import annotations

import math
import time
from typing import Any

from qwen_runtime.watch.pages import Page, Pages, Panel, filled, legend
from qwen_runtime.watch.prometheus import Prometheus, Series

POINTS = 240
"""Samples of a series: a panel is about twice as many pixels wide."""
MOST_SERIES = 600
"""More than 64 hosts with 8 GPUs; a browser draws thousands too slowly to be read."""
PLANNED = "serving:planned_"
"""Beginning of the series that the stack's file promises."""
RATE_SCRAPES = 4
"""Measurements within the window of a rate, so that one may be missed; Grafana's own number."""


def of_panel(
    prometheus: Prometheus, pages: Pages, page: Page, panel: Panel, chosen: str | None, span_s: int
) -> dict[str, Any]:
    """Series over the last `span_s` seconds: for each its name, and a value or None for every `step_s` seconds."""
    step_s = max(pages.scrape_s, span_s // POINTS)
    end_s = int(time.time()) // step_s * step_s
    start_s = end_s - span_s // step_s * step_s
    window_s = max(RATE_SCRAPES * pages.scrape_s, step_s + pages.scrape_s)
    drawn = []
    for query in panel.queries:
        expression = filled(query.expression, page, chosen, window_s)
        for series in prometheus.over(expression, start_s, end_s, step_s):
            name = legend(query.legend, series.labels) or panel.title
            values = _on_grid(series, start_s, end_s, step_s)
            drawn.append({"name": name, "planned": query.expression.startswith(PLANNED), "values": values})
    kept = drawn[:MOST_SERIES]
    return {"start_s": start_s, "step_s": step_s, "series": kept, "left_out": len(drawn) - len(kept)}


def _on_grid(series: Series, start_s: int, end_s: int, step_s: int) -> list[float | None]:
    """Value at each step; None where there is none, and where JSON has no number for it."""
    values: list[float | None] = [None] * ((end_s - start_s) // step_s + 1)
    for at_s, value in series.samples:
        if math.isfinite(value):
            values[round((at_s - start_s) / step_s)] = value
    return values
