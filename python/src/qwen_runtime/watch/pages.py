"""Pages of panels as the stack writes them, and the queries that they stand for.

A query is what a panel says, with its page's variable and the window of rates filled in: nobody can ask another one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError

RATE = "$__rate_interval"
EVERYTHING = ".*"
MOST_VALUE = 200
"""Characters of a variable's value; no model, host or key has a longer name."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the legend of its series with {{label}} for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph; `width` is its share of 24 columns, `unit` is by Grafana's name."""

    title: str
    text: str
    unit: str
    width: int
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Panels by rows. A `variable` is a label and the series that has its values."""

    uid: str
    title: str
    text: str
    variable: tuple[str, str] | None
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

    def panels(self) -> list[Panel]:
        return [panel for _, panels in self.rows for panel in panels]


@dataclass(frozen=True, slots=True)
class Pages:
    scrape_s: int
    """Time between two measurements."""
    by_uid: dict[str, Page]


def read(file: Path) -> Pages:
    """Raises UsageError for a file that is not of the stack."""
    try:
        document = json.loads(file.read_text())
        pages = [_page(entry) for entry in document["pages"]]
        return Pages(int(document["scrape_seconds"]), {page.uid: page for page in pages})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file}: {error!r}", "pages as the stack writes them", "Write it again: make dashboards TO=FOLDER"
        ) from error


def filled(expression: str, page: Page, chosen: str | None, window_s: int) -> str:
    """Expression for one value of the page's variable, or for all of them, with rates over `window_s` seconds."""
    if page.variable:
        expression = expression.replace(f'"${page.variable[0]}"', _pattern(chosen))
    return expression.replace(RATE, f"{window_s}s")


def legend(template: str, labels: dict[str, str]) -> str:
    """Legend of a series; a label that it lacks is left out."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template).strip()


def _pattern(chosen: str | None) -> str:
    """Quoted regular expression of PromQL that matches this text alone."""
    return json.dumps(EVERYTHING if chosen is None else re.escape(chosen), ensure_ascii=False)


def _page(entry: dict[str, Any]) -> Page:
    rows = tuple((row["title"], tuple(_panel(one) for one in row["panels"])) for row in entry["rows"])
    variable = tuple(entry["variable"]) if entry["variable"] else None
    return Page(entry["uid"], entry["title"], entry["text"], variable, rows)


def _panel(entry: dict[str, Any]) -> Panel:
    queries = tuple(Query(expression, template) for expression, template in entry["queries"])
    return Panel(entry["title"], entry["text"], entry["unit"], entry["width"], queries)
