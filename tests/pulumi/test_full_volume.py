"""A real Prometheus whose volume is full, or whose data are more than it may keep."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.rules.models import quantity_bytes
from tests.support.waiting import wait_until

from . import own_prometheus
from .exposition import PROMETHEUS, Site
from .promtool import PROMTOOL

JOB = "anything"
# So many samples a second that what is left of the last page is soon used.
MANY = [f"127.0.1.{number}:9" for number in range(1, 51)]
MOUNTS_OF_ITS_OWN = ("unshare", "--user", "--map-root-user", "--mount")
HOURS, SERIES = 12, 200


def firing(site: Site) -> set[str]:
    """Alerts as Prometheus itself knows them: what it cannot keep is in no series."""
    return {one["labels"]["alertname"] for one in site.ask("alerts")["alerts"] if one["state"] == "firing"}


def samples(site: Site) -> float:
    found = site.ask("query", query="min(count_over_time(up[1h]))")["result"]
    return float(found[0]["value"][1]) if found else 0


@PROMETHEUS
def test_a_full_volume_is_told_and_loses_nothing_that_was_kept(tmp_path: Path, local: dict[str, Any]) -> None:
    settings = config.parse({**local, "monitoring": {**local["monitoring"], "scrapeSeconds": 1}})
    # The time for which alerts hold is promtool's to judge.
    rules = [own_prometheus.rule(settings, name) | {"for": "0s"} for name in ("MeasurementsNotKept", "Watchdog")]
    own_prometheus.write_files(tmp_path, JOB, *rules, targets=MANY)
    data = tmp_path / "data"
    data.mkdir()
    small = (*MOUNTS_OF_ITS_OWN, "sh", "-ec", f'mount -t tmpfs -o size=4m tmpfs {data} && exec "$@"', "-")
    with own_prometheus.started(tmp_path, settings, small) as (site, process):
        wait_until(lambda: samples(site) >= 3 and firing(site) == {"Watchdog"}, "no sample is kept")
        rest = Path(f"/proc/{process}/root{data}/rest")
        subprocess.run(["dd", "if=/dev/zero", f"of={rest}", "bs=4k"], check=False, capture_output=True)
        wait_until(lambda: "MeasurementsNotKept" in firing(site), "it is not told")
        # What Alertmanager hears of is not what is kept.
        assert "Watchdog" in firing(site)
        assert "no space left on device" in (tmp_path / "log").read_text()
        before = samples(site)
        assert before >= 3
        rest.unlink()
        wait_until(lambda: samples(site) >= before + 3, "nothing new is kept beside what was")
        wait_until(lambda: firing(site) == {"Watchdog"}, "the alert does not end")


@pytest.fixture
def hoard(tmp_path: Path) -> Path:
    """Data of half a day, in blocks of two hours; returns Prometheus' folder."""
    now = int(time.time())
    times = range(now - HOURS * 3600, now - 3600, 60)
    # Numbers that no compression makes small.
    lines = [f'm{{of="{one}"}} {hash((one, at)) % 10**12} {at}' for one in range(SERIES) for at in times]
    (tmp_path / "before.txt").write_text("\n".join([*lines, "# EOF\n"]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", tmp_path / "before.txt", tmp_path / "data"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    own_prometheus.write_files(tmp_path, JOB)
    return tmp_path


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@PROMTOOL
@PROMETHEUS
def test_the_oldest_data_go_before_the_rest_of_the_volume_is_used(hoard: Path, local: dict[str, Any]) -> None:
    limit = "512Ki"
    settings = config.parse({**local, "monitoring": {**local["monitoring"], "storageLimit": limit}})
    data = hoard / "data"
    most = quantity_bytes(limit)
    assert size(data) > most
    with own_prometheus.started(hoard, settings) as (site, _):
        wait_until(lambda: size(data) <= most, "more stays than is allowed")
        now = time.time()
        newest, oldest = (
            site.ask("query", query="count(m)", time=str(at))["result"] for at in (now - 3700, now - HOURS * 3600 + 120)
        )
        assert newest[0]["value"][1] == str(SERIES)
        assert not oldest
