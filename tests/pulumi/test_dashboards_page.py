"""The read-only page draws the panels of the dashboards from a real Prometheus, and lets nobody ask for more."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.watch import pages, server
from qwen_runtime.watch.prometheus import Prometheus

from qwen_stack.dashboards import plain
from qwen_stack.dashboards.pages import PAGES
from tests.support.web import Quiet, served

from . import exposition

CHROMIUM = shutil.which("chromium")
MARKUP = "<img src=x onerror=document.title='taken'>"


def written(folder: Path) -> pages.Pages:
    file = folder / "pages.json"
    file.write_text(plain.text(1))
    return pages.read(file)


@pytest.fixture
def page(watched: exposition.Site, tmp_path: Path) -> Iterator[str]:
    """Address of the page in front of a Prometheus that knows the recorded site."""
    with served(server.handler(written(tmp_path), Prometheus(watched.address))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[str]:
    """Address of the page in front of a stand-in whose only series has markup for its labels."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            labels = dict.fromkeys(("node", "model_name", "server", "class", "instance", "alertname"), MARKUP)
            start = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("start", ["0"])[0]
            series = [{"metric": labels, "values": [[float(start), "1"]]}]
            data: Any = [MARKUP] if "/label/" in self.path else {"result": series}
            body = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with served(Handler) as port:
        handler = server.handler(written(tmp_path), Prometheus(f"http://127.0.0.1:{port}"))
        with served(handler) as own:
            yield f"http://127.0.0.1:{own}"


def ask(address: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
        return json.load(answer)


def refused(request: str | urllib.request.Request) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=20)
    with error.value as answer:
        return answer.code, answer.read().decode()


def in_browser(address: str) -> str:
    """The page as it stands after its scripts have run."""
    assert CHROMIUM
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, address], check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


@exposition.PROMETHEUS
@pytest.mark.parametrize("of", PAGES, ids=lambda of: of.uid)
def test_every_panel_has_named_series_with_values(page: str, of: Any) -> None:
    for number, panel in enumerate(of.panels()):
        found = ask(page, "/panel", page=of.uid, panel=str(number), span="900")
        assert found["series"], panel.title
        assert all(one["name"] for one in found["series"]), panel.title
        # The recorded counters stand still: quantiles, and shares of events, are those of nothing.
        if of.uid in ("qwen-fleet", "qwen-gpu-host"):
            assert any(value is not None for one in found["series"] for value in one["values"]), panel.title


@exposition.PROMETHEUS
def test_a_variable_has_values_and_narrows_what_is_drawn(page: str) -> None:
    assert ask(page, "/values", page="qwen-model") == ["smollm2-135m-instruct", "smollm2-135m-instruct-reference"]
    query = {"page": "qwen-model", "panel": "6", "span": "900"}
    everything, one = ask(page, "/panel", **query), ask(page, "/panel", **query, value="smollm2-135m-instruct")
    assert 0 < len(one["series"]) < len(everything["series"])
    assert ask(page, "/values", page="qwen-fleet") == []


@exposition.PROMETHEUS
@pytest.mark.parametrize("value", ['x"} or vector(1) or serving:planned_gateways:replicas{job=~"', ".*", ".+|x", "\\"])
def test_a_value_is_a_name_and_never_part_of_a_query(page: str, value: str) -> None:
    assert not ask(page, "/panel", page="qwen-model", panel="6", span="900", value=value)["series"]


@exposition.PROMETHEUS
@pytest.mark.parametrize(
    "path",
    [
        "/panel?page=qwen-fleet&panel=99&span=900",
        "/panel?page=qwen-fleet&panel=-1&span=900",
        "/panel?page=qwen-fleet&panel=0&span=31536000",
        "/panel?page=other&panel=0&span=900",
        "/panel?page=qwen-model&panel=0&span=900&value=%0a",
        "/api/v1/query?query=up",
        "/../server.py",
        "/static/page.js",
    ],
)
def test_nothing_but_the_pages_is_answered(page: str, path: str) -> None:
    assert refused(page + path)[0] == 404


@exposition.PROMETHEUS
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(page: str, method: str) -> None:
    assert refused(urllib.request.Request(f"{page}/pages", data=b"{}", method=method))[0] == 501


@exposition.PROMETHEUS
def test_the_page_runs_its_own_scripts_alone(page: str) -> None:
    with urllib.request.urlopen(page, timeout=20) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"https?://", text) == []
    assert all(tag == "defer" for tag in re.findall(r'<script src="[a-z.]+" ([a-z]+)>', text))
    assert not re.search(r"<script>|<style| style=| on\w+=", text)


def test_a_prometheus_that_is_gone_is_told_in_the_panel(tmp_path: Path) -> None:
    handler = server.handler(written(tmp_path), Prometheus("http://127.0.0.1:9"))
    with served(handler) as port:
        status, text = refused(f"http://127.0.0.1:{port}/panel?page=qwen-fleet&panel=0&span=900")
    assert status == 502
    assert "found:" in text
    assert "remedy:" in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH: apt-get install chromium")
def test_a_browser_draws_every_panel_and_takes_labels_as_text(hostile: str) -> None:
    document = in_browser(f"{hostile}/?page=qwen-fleet")
    fleet = PAGES[0]
    assert document.count('class="main-svg"') >= len(fleet.panels())
    for panel in fleet.panels():
        assert f">{panel.title} <" in document
    assert "not read" not in document
    assert "<title>Fleet – qwen-onprem</title>" in document
    assert "<img" not in document
    assert "&lt;img src=x" in document
