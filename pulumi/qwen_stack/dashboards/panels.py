"""Panels and variables as the dashboards write them: a title, a unit, and queries with their legends."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

# The name that the provisioning gives to Prometheus.
SOURCE = DataSourceRef(type_val="prometheus", uid="qwen-onprem")
HEIGHT, COLUMNS = 8, 24
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


def built(page: Page) -> Dashboard:
    made = (
        Dashboard(page.title)
        .uid(page.uid)
        .description(page.text)
        .tags(["qwen-onprem"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
    )
    if page.variable:
        made = made.with_variable(_variable(*page.variable))
    for row in page.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_graph(panel))
    return made


def quantiles(histogram: str, selector: str) -> tuple[tuple[str, str], ...]:
    """The median and two high quantiles of a histogram."""
    summed = f"sum by (le) (rate({histogram}_bucket{selector}[{RATE}]))"
    return tuple((f"histogram_quantile({share}, {summed})", f"P{share * 100:g}") for share in (0.5, 0.95, 0.99))


def total(series: str, by: str = PER_MODEL, selector: str = "") -> str:
    """Rate of a counter, summed."""
    return f"{by} (rate({series}{selector}[{RATE}]))"


def _variable(label: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def _graph(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.text)
        .datasource(SOURCE)
        .unit(panel.unit)
        .height(HEIGHT)
        .span(panel.width)
        .min(0)
        .legend(common.VizLegendOptions().show_legend(True))
    )
    for number, (expression, legend) in enumerate(panel.queries):
        made = made.with_target(_query(expression, legend, chr(ord("A") + number)))
    return made


def _query(expression: str, legend: str, reference: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(reference).range()
