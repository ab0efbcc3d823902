"""Pages as Grafana's own generator writes them."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from qwen_stack.dashboards.panels import Page, Panel

# The name that the provisioning gives to Prometheus.
SOURCE = DataSourceRef(type_val="prometheus", uid="qwen-onprem")
HEIGHT = 8


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
