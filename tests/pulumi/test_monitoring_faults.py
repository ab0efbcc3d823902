"""A real Prometheus whose exporters hang, write garbage, rename series or fill it, and that is itself ended."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen_stack.specs.alerts import gpu_rules
from qwen_stack.specs.monitoring import dcgm_exporter, scrape_jobs
from tests.support.waiting import wait_until

from . import exposition, own_prometheus
from .exposition import Site, Text
from .own_prometheus import AWAY
from .promtool import PROMTOOL

pytestmark = exposition.PROMETHEUS
GPUS = f"/{dcgm_exporter.NAME}"
GPU_UP = f'up{{job="{dcgm_exporter.NAME}"}}'
OTHERS_UP = f'up{{job!="{dcgm_exporter.NAME}"}}'
ENDED_S = 600
"""Time for which an alert had been known when Prometheus ended."""


class Faulty:
    """A site whose texts can be exchanged."""

    def __init__(self, site: Site, texts: dict[str, Text]) -> None:
        self.site, self.texts = site, texts

    def firing(self, alert: str) -> list[dict[str, str]]:
        return self.site.series(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')

    def becomes(self, expression: str) -> None:
        wait_until(lambda: self.site.series(expression), f"{expression} selects nothing")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Iterator[Faulty]:
    texts: dict[str, Text] = dict(exposition.written())
    with exposition.scraped(tmp_path_factory.mktemp("faulty"), settings, texts) as site:
        yield Faulty(site, texts)


@pytest.fixture
def faulty(whole: Faulty) -> Iterator[Faulty]:
    """The site, mended after each test, so that what came back is seen too."""
    yield whole
    whole.texts[GPUS] = exposition.dcgm()
    whole.becomes(f"{GPU_UP} == 1 and on () count(serving:gpu_last_xid:code) == 8")
    wait_until(lambda: not whole.firing("TargetDown"), "TargetDown does not end")


def hangs() -> str:
    time.sleep(2)  # longer than this Prometheus waits
    return exposition.dcgm()


@pytest.mark.parametrize(
    "text",
    [
        hangs,
        "<html>502 Bad Gateway</html>",
        'DCGM_FI_DEV_GPU_TEMP{gpu="0" 31\n',
    ],
    ids=["hangs", "another page", "half a line"],
)
def test_an_exporter_that_does_not_answer_well_is_told_and_hurts_no_other(faulty: Faulty, text: Text) -> None:
    faulty.texts[GPUS] = text
    # A busy machine may miss a scrape of another target, but not for long.
    faulty.becomes(f"{GPU_UP} == 0 and on () min({OTHERS_UP}) == 1")
    wait_until(lambda: [one["job"] for one in faulty.firing("TargetDown")] == [dcgm_exporter.NAME], "not told alone")
    # No value of a broken answer is kept, and the last good ones end with it.
    wait_until(lambda: not faulty.site.series(f"{{job='{dcgm_exporter.NAME}',__name__=~'serving:.*'}}"), "kept")


def test_an_exporter_that_renames_a_series_is_told_with_it(faulty: Faulty) -> None:
    faulty.texts[GPUS] = exposition.dcgm().replace("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERRORS_TOTAL")
    renamed = {(dcgm_exporter.NAME, "serving:gpu_last_xid:code")}

    def told() -> set[tuple[str, str]]:
        return {(one["job"], one["series"]) for one in faulty.firing("MeasurementsMissing")}

    # A busy machine may miss a scrape, and all series of the exporter with it, but not for long.
    wait_until(lambda: told() == renamed, "the renamed series is not told alone")


def test_a_gpu_that_does_not_know_its_fields_is_missing_and_leaves_the_others_whole(faulty: Faulty) -> None:
    known = [
        line if 'gpu="7"' not in line else f"{line.rsplit(' ', 1)[0]} NaN" for line in exposition.dcgm().splitlines()
    ]
    faulty.texts[GPUS] = "\n".join(known) + "\n"
    faulty.becomes("count by (node) (serving:gpu_temperature:celsius) == 7")
    faulty.becomes("avg by (node) (serving:gpu_utilization:ratio) == 0")
    wait_until(lambda: faulty.firing("GpuLost"), "GpuLost does not fire")


def test_a_label_that_grows_without_bound_is_refused_and_told(faulty: Faulty) -> None:
    [field, *_] = (name for name, _, _ in gpu_rules.COUNTERS)
    many = "".join(f'{field}{{key="{number}"}} 0\n' for number in range(scrape_jobs.MOST_SERIES + 1))
    faulty.texts[GPUS] = many
    faulty.becomes(f"{GPU_UP} == 0")
    # Prometheus' own counter is recorded here, so the alert's first half is asked of what it writes itself.
    assert not faulty.site.series(f'{field}{{key="1"}}')
    [target] = [
        one for one in faulty.site.ask("targets")["activeTargets"] if one["labels"]["job"] == dcgm_exporter.NAME
    ]
    assert "sample limit exceeded" in target["lastError"]


def left(folder: Path, settings: Any) -> Path:
    """Data of a Prometheus that ended while TargetDown fired for a target that is still away; returns the folder."""
    rule = own_prometheus.rule(settings, "TargetDown")
    labels = {"job": dcgm_exporter.NAME, "instance": AWAY, **rule["labels"], "alertname": "TargetDown"}
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
    now = int(time.time())
    times = range(now - ENDED_S, now - 15, 15)
    lines = [f"ALERTS_FOR_STATE{{{inner}}} {now - ENDED_S} {at}" for at in times]
    lines += [f'up{{job="{labels["job"]}",instance="{labels["instance"]}"}} 0 {at}' for at in times]
    (folder / "before.txt").write_text("\n".join([*lines, "# EOF\n"]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "before.txt", folder / "data"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    own_prometheus.write_files(folder, dcgm_exporter.NAME, rule)
    return folder


@PROMTOOL
def test_an_alert_that_fired_fires_again_at_once_after_a_restart(tmp_path: Path, settings: Any) -> None:
    with own_prometheus.started(left(tmp_path, settings), settings) as (site, _):
        wait_until(lambda: site.series("ALERTS"), "the alert is not known")
        wait_until(lambda: site.series('ALERTS{alertstate="firing"}'), "it waits anew for its five minutes", 60)
