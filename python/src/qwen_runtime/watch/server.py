"""The read-only page behind a port. It answers GET alone, and asks Prometheus what its pages say and nothing else.

It asks nobody who they are: the network policies of the stack let nobody in, and `kubectl port-forward` asks the
cluster's API who may.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from qwen_runtime.errors import Error
from qwen_runtime.extras import require
from qwen_runtime.watch import graph
from qwen_runtime.watch.pages import MOST_VALUE, Page, Pages
from qwen_runtime.watch.prometheus import Prometheus

EXTRA = "dashboards"
STATIC = importlib.resources.files("qwen_runtime.watch") / "static"
SPANS_S = (900, 3600, 6 * 3600, 86400, 7 * 86400)
AT_ONCE = 4
"""Panels that are asked for at once, whoever looks: Prometheus has the stack's rules to evaluate."""
# plotly.js makes one empty style element, and fills it by calls: this is the digest of no text at all.
EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'self' {EMPTY_STYLE}; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
JSON, TEXT = "application/json", "text/plain; charset=utf-8"


class NotThere(Exception):
    """A path or a value that no page has."""


def run(pages: Pages, prometheus: Prometheus, host: str, port: int) -> None:
    """Serve until SIGTERM. HostError without the plotting library."""
    ThreadingHTTPServer((host, port), handler(pages, prometheus)).serve_forever()


def handler(pages: Pages, prometheus: Prometheus) -> type[BaseHTTPRequestHandler]:
    class OfPages(_Handler):
        site = _Site(pages, prometheus)

    return OfPages


class _Site:
    """The answer of each path: a kind of content and its bytes."""

    def __init__(self, pages: Pages, prometheus: Prometheus) -> None:
        self._pages, self._prometheus = pages, prometheus
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._files = {
            "/": ("text/html; charset=utf-8", STATIC / "page.html"),
            "/page.css": ("text/css; charset=utf-8", STATIC / "page.css"),
            "/page.js": ("text/javascript; charset=utf-8", STATIC / "page.js"),
            "/plotly.js": ("text/javascript; charset=utf-8", _plotting_library()),
        }

    def answer(self, target: str) -> tuple[str, bytes]:
        parts = urlsplit(target)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/health":
            return TEXT, b"ready\n"
        if parts.path in self._files:
            kind, file = self._files[parts.path]
            return kind, file.read_bytes()
        if parts.path == "/pages":
            return _json([_outline(page) for page in self._pages.by_uid.values()])
        if parts.path == "/values":
            return _json(self._values(self._page(asked)))
        if parts.path == "/panel":
            return _json(self._panel(self._page(asked), asked))
        raise NotThere(parts.path)

    def _page(self, asked: dict[str, str]) -> Page:
        try:
            return self._pages.by_uid[asked["page"]]
        except KeyError as absent:
            raise NotThere("page") from absent

    def _values(self, page: Page) -> list[str]:
        return self._prometheus.values(*page.variable) if page.variable else []

    def _panel(self, page: Page, asked: dict[str, str]) -> dict[str, Any]:
        panels, number, span = page.panels(), asked.get("panel", ""), asked.get("span", "")
        chosen = asked.get("value")
        if not (number.isdecimal() and int(number) < len(panels)):
            raise NotThere("panel")
        if not (span.isdecimal() and int(span) in SPANS_S):
            raise NotThere("span")
        if chosen is not None and not (len(chosen) <= MOST_VALUE and chosen.isprintable()):
            raise NotThere("value")
        with self._turns:
            return graph.of_panel(self._prometheus, self._pages, page, panels[int(number)], chosen, int(span))


class _Handler(BaseHTTPRequestHandler):
    site: _Site
    timeout = 30

    def do_GET(self) -> None:
        try:
            kind, body = self.site.answer(self.path)
        except NotThere as absent:
            self._answer(HTTPStatus.NOT_FOUND, TEXT, f"not here: {absent}\n".encode())
        except Error as error:
            self._answer(HTTPStatus.BAD_GATEWAY, TEXT, f"{error}\n".encode())
        else:
            self._answer(HTTPStatus.OK, kind, body)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Reading is not logged."""


def _plotting_library() -> Path:
    """plotly.js, which Plotly's wheel carries; nothing of the wheel is imported."""
    require(EXTRA, "plotly")
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "package_data/plotly.min.js"


def _outline(page: Page) -> dict[str, Any]:
    """A page without its queries."""
    rows = [
        {
            "title": title,
            "panels": [{"title": one.title, "text": one.text, "unit": one.unit, "width": one.width} for one in panels],
        }
        for title, panels in page.rows
    ]
    variable = page.variable[0] if page.variable else None
    return {"uid": page.uid, "title": page.title, "text": page.text, "variable": variable, "rows": rows}


def _json(document: Any) -> tuple[str, bytes]:
    return JSON, json.dumps(document, separators=(",", ":")).encode()
