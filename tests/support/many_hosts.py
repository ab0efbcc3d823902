"""A Prometheus that knows a large fleet: the series of the stack's rules, for more hosts and models than were recorded.

A real Prometheus evaluates the stack's rules over what its parts were recorded to write. Each series of the contract is
then written again for every host, model and replica, with made-up values, and stored as blocks by promtool.
"""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from tests.support.ports import free_port

GATEWAYS = 2
SCRAPE_S, SPAN_S = 15, 3600
Labels = dict[str, str]
COUNTERS = (":total", "_bucket", "_count", "_sum")


def grown(found: Iterable[Labels], hosts: int, models: int) -> list[Labels]:
    """Labels of the series for a site of this size; equal ones are one."""
    made = (series for one in found for series in _copies(one, hosts, models))
    return list({tuple(sorted(labels.items())): labels for labels in made}.values())


def written(series: Iterable[Labels], often: frozenset[str], end_s: int) -> Iterator[str]:
    """OpenMetrics text of the last hour. Series whose names are in `often` have a sample for each scrape, others one in
    five minutes: they fill the index, and no panel that is measured draws them."""
    for number, labels in enumerate(series):
        name = labels["__name__"]
        step_s = SCRAPE_S if name in often else 300
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items() if key != "__name__")
        head = f"{name}{{{inner}}}"
        for at_s in range(end_s - SPAN_S, end_s + 1, step_s):
            yield f"{head} {_value(name, number, at_s - end_s + SPAN_S):.4g} {at_s}\n"
    yield "# EOF\n"


@contextmanager
def stored(folder: Path, series: list[Labels], often: frozenset[str]) -> Iterator[str]:
    """Address of a Prometheus that has the series of the hour that ends now."""
    text, data = folder / "series.txt", folder / "data"
    with text.open("w") as file:
        file.writelines(written(series, often, int(time.time())))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, stdout=subprocess.DEVNULL
    )
    text.unlink()
    port = free_port()
    (folder / "prometheus.yml").write_text("{}\n")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={data}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _copies(labels: Labels, hosts: int, models: int) -> Iterator[Labels]:
    """A series once for each place that its labels can name in the larger site."""
    every: list[list[Labels]] = []
    if "model_name" in labels or "server" in labels:
        every.append([_named(labels, model_name=f"model-{n}", server=f"model-server-{n}") for n in range(models)])
    if "node" in labels:
        every.append([_named(labels, node=f"gpu{n}", instance=f"10.1.{n // 250}.{n % 250}:9100") for n in range(hosts)])
    elif labels.get("job") == "gateway":
        every.append([_named(labels, instance=f"10.2.0.{n}:9901") for n in range(GATEWAYS)])
    elif "engine" in labels and "instance" in labels:
        # As many replicas as hosts, shared by the models.
        share = max(1, hosts // models)
        every.append([_named(labels, instance=f"10.3.{n // 250}.{n % 250}:8080") for n in range(share)])
    for changes in product(*every):
        copy = dict(labels)
        for change in changes:
            copy |= change
        yield copy


def _named(labels: Labels, **values: str) -> Labels:
    return {key: value for key, value in values.items() if key in labels}


def _value(name: str, number: int, elapsed_s: int) -> float:
    """A counter grows at a speed of its own; everything else swings between 0.2 and 0.8 of what its unit allows."""
    if name.endswith(COUNTERS):
        return elapsed_s * (1 + number % 7)
    share = 0.5 + 0.3 * math.sin(elapsed_s / 400 + number)
    size = {"celsius": 90, "watts": 700, "requests": 40, "connections": 4000, "bytes": 8e10, "hertz": 2e9}
    return share * size.get(re.split("[:_]", name)[-1], 1)
