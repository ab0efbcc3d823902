"""Time that Prometheus takes for every panel of a dashboard, as the number of hosts grows.

    make bench BENCH=dashboards [ARGS="--hosts 8 64 256 --page qwen-fleet"]

A real Prometheus holds an hour of the stack's series for so many hosts of 8 GPUs and 5 models
(tests/support/many_hosts.py), and is asked what `qwen-runtime dashboards` asks for a page: all panels, one after the
other, the median of several rounds. `cpu_ms` is the processor time of a round in Prometheus and in the page's
server, which other work on the machine does not lengthen. Expected at 64 hosts: below 1 s. `ratio` is the processor
time at the most hosts by that at the fewest. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml
from qwen_runtime.watch import graph, pages
from qwen_runtime.watch.pages import Page, Pages
from qwen_runtime.watch.prometheus import Prometheus

from qwen_stack import config
from qwen_stack.dashboards import plain
from qwen_stack.settings.stack import Settings
from tests.bench.arms import machine
from tests.gateway.site import KEY
from tests.pulumi import exposition
from tests.support import many_hosts
from tests.support.waiting import wait_until

MODELS, ROUNDS, SPAN_S = 5, 5, 3600


def local_stack() -> Settings:
    """The lab's stack with made-up digests and keys, which no rule reads."""
    text = (config.PROGRAM / "Pulumi.local.yaml").read_text()
    values = {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}
    own = ("runtime", "gateway", "prometheus", "alertmanager")
    images = {name: f"{values['registry']}/qwen-onprem/{name}@sha256:{'0' * 64}" for name in own}
    keys = {"apiKeys": {"default": KEY}, "engineKeys": [KEY[::-1]]}
    return config.parse({**values, "images": {**values["images"], **images}, **keys})


def contract(folder: Path) -> list[dict[str, str]]:
    """Labels of each series that the stack's rules make."""
    with exposition.scraped(folder, local_stack()) as site:
        return site.series('{__name__=~"serving:.*"}')


def read_by(page: Page, names: set[str]) -> frozenset[str]:
    text = " ".join(query.expression for panel in page.panels() for query in panel.queries)
    return frozenset(name for name in names if name in text)


def panel_ms(prometheus: Prometheus, site: Pages, page: Page) -> dict[str, float]:
    """Milliseconds of each panel, with everything selected: the median of the rounds."""
    rounds: dict[str, list[float]] = {panel.title: [] for panel in page.panels()}
    for _ in range(ROUNDS):
        for panel in page.panels():
            begun_s = time.monotonic()
            graph.of_panel(prometheus, site, page, panel, None, SPAN_S)
            rounds[panel.title].append((time.monotonic() - begun_s) * 1000)
    return {title: round(statistics.median(times), 1) for title, times in rounds.items()}


def cpu_s(url: str) -> float:
    """Processor time until now, of Prometheus and of this process."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith("process_cpu_seconds_total ")]
    return float(line.split()[1]) + time.process_time()


def ready(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.now("vector(1)"))
    except Exception:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--page", default="qwen-fleet")
    options = parser.parse_args()
    print(machine.describe())
    results: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "pages.json"
        file.write_text(plain.text(many_hosts.SCRAPE_S))
        site = pages.read(file)
        page = site.by_uid[options.page]
        (Path(place) / "recorded").mkdir()
        found = contract(Path(place) / "recorded")
        often = read_by(page, {one["__name__"] for one in found})
        for hosts in options.hosts:
            folder = Path(place) / str(hosts)
            folder.mkdir()
            series = many_hosts.grown(found, hosts, MODELS)
            with many_hosts.stored(folder, series, often) as url:
                prometheus = Prometheus(url)
                wait_until(lambda asked=prometheus: ready(asked), "Prometheus does not answer", 60)
                begun_s = cpu_s(url)
                times = panel_ms(prometheus, site, page)
                cpu_ms = round((cpu_s(url) - begun_s) * 1000 / ROUNDS, 1)
            slowest = max(times, key=lambda title: times[title])
            total_ms = round(sum(times.values()), 1)
            figures = {"series": len(series), "total_ms": total_ms, "cpu_ms": cpu_ms, "slowest_ms": times[slowest]}
            results[hosts] = figures
            print(f"{hosts:4} hosts  {figures}  slowest: {slowest}", flush=True)
    least, most = (results[end(options.hosts)]["cpu_ms"] for end in (min, max))
    report = {"benchmark": "dashboards", "machine": machine.describe(), "page": options.page, "results": results}
    print(json.dumps({**report, "ratio": round(most / least, 2)}))


if __name__ == "__main__":
    main()
