"""Dashboards show data that exist, in the form that Grafana's library reads, and ask the source that is provisioned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from qwen_stack.dashboards import files
from qwen_stack.dashboards.pages import PAGES
from qwen_stack.dashboards.panels import RATE, Page
from tests.support.waiting import wait_until

from . import exposition
from .promql import selectors

ROOT = Path(__file__).resolve().parents[2]


def asked(page: Page) -> dict[str, str]:
    """Each query of a page as Grafana sends it with everything selected, by its panel and its legend."""
    chosen = {RATE: "1m", **({f"${page.variable[0]}": ".*"} if page.variable else {})}
    found = {}
    for panel in page.panels():
        for expression, legend in panel.queries:
            for variable, value in chosen.items():
                expression = expression.replace(variable, value)
            found[f"{panel.title}: {legend}"] = expression
    return found


@exposition.PROMETHEUS
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_every_query_of_a_panel_returns_data(watched: exposition.Site, page: Page) -> None:
    def empty() -> dict[str, str]:
        return {name: query for name, query in asked(page).items() if not watched.series(query)}

    # A busy machine may miss a scrape, whose series are absent for that second.
    wait_until(lambda: not empty(), f"data of every panel instead of none of {empty()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_panels_read_the_contract_whatever_the_engine(page: Page) -> None:
    for name, query in asked(page).items():
        assert "$" not in query, name
        for selector in selectors(query):
            assert str(selector.name).startswith(("serving:", "ALERTS")), name


@exposition.PROMETHEUS
def test_a_variable_offers_values_and_selects_in_panels(watched: exposition.Site) -> None:
    for page in PAGES:
        if page.variable:
            label, series = page.variable
            assert all(one[label] for one in watched.series(series))
            assert f'{label}=~"${label}"' in str(page.panels())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_the_json_is_a_dashboard_of_grafanas_own_library(page: Page) -> None:
    text = files.written()[f"dashboards/{page.uid}.json"]
    read = Dashboard.from_json(json.loads(text))
    assert json.loads(JSONEncoder().encode(read)) == json.loads(text)
    assert (read.uid, read.title) == (page.uid, page.title)


def test_every_panel_asks_the_source_that_is_provisioned() -> None:
    written = files.written("http://prometheus.example:9090")
    [source] = yaml.safe_load(written["provisioning/datasources/qwen-onprem.yml"])["datasources"]
    assert source["url"] == "http://prometheus.example:9090"
    for name, text in written.items():
        if name.startswith("dashboards/"):
            panels = [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]
            assert panels
            assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def test_the_command_writes_everything_into_a_new_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qwen_stack.dashboards", str(tmp_path / "new")]
    path = {"PYTHONPATH": f"{ROOT}/pulumi:{ROOT}/python/src"}
    subprocess.run(command, check=True, env=path, capture_output=True)
    assert {path.relative_to(tmp_path / "new").as_posix() for path in tmp_path.rglob("*.*")} == files.written().keys()
