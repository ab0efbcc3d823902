"""Panels and variables as the dashboards write them: a title, a unit, and queries with their legends."""

from __future__ import annotations

from dataclasses import dataclass

RATE = "$__rate_interval"
PER_MODEL = "sum by (model_name)"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. `queries` are pairs of an expression and the legend of its series, in Grafana's notation."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    text: str = ""
    width: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. A `variable` is a label and the series that has its values; queries select it by `=~"$label"`."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]
    variable: tuple[str, str] | None = None

    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]


def quantiles(histogram: str, selector: str) -> tuple[tuple[str, str], ...]:
    """The median and two high quantiles of a histogram."""
    summed = f"sum by (le) (rate({histogram}_bucket{selector}[{RATE}]))"
    return tuple((f"histogram_quantile({share}, {summed})", f"P{share * 100:g}") for share in (0.5, 0.95, 0.99))


def total(series: str, by: str = PER_MODEL, selector: str = "") -> str:
    """Rate of a counter, summed."""
    return f"{by} (rate({series}{selector}[{RATE}]))"
