"""Series go to a store outside: those of the contract alone, also those of the time in which it was away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qwen_stack import config
from qwen_stack.specs.monitoring import prometheus
from tests.support.ports import free_port
from tests.support.waiting import wait_until

from . import own_prometheus
from .alert_cases import Case, counted, own, ran, rules_of
from .exposition import PROMETHEUS, Site
from .promtool import PROMTOOL

RULES = (
    {"record": "serving:a:bool", "expr": "vector(1)"},
    {"record": "of_an_engine", "expr": "vector(1)"},
    {"alert": "Always", "expr": "vector(1)"},
)


def sending_to(port: int, local: dict[str, Any]) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/write"
    return config.parse({**local, "monitoring": {**local["monitoring"], "remoteWriteUrl": url}})


def names(site: Site) -> set[str]:
    return {one["__name__"] for one in site.series('{stack="qwen"}')}


def oldest(site: Site) -> float:
    """Time of the first sample; 0 without one."""
    found = site.ask("query", query="min_over_time(timestamp(serving:a:bool)[5m:1s])")["result"]
    return float(found[0]["value"][1]) if found else 0


@PROMETHEUS
def test_a_store_that_was_away_gets_the_contract_and_nothing_else(tmp_path: Path, local: dict[str, Any]) -> None:
    port = free_port()
    settings = sending_to(port, local)
    written = yaml.safe_load(prometheus.prometheus_config(settings))
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    own_prometheus.write_files(here, "anything", *RULES, further={"remote_write": written["remote_write"]})
    own_prometheus.write_files(there, "anything")
    # At its end it would wait a minute for the store.
    with own_prometheus.started(here, settings, options=["--storage.remote.flush-deadline=1s"]) as (sender, _):
        first = wait_until(lambda: oldest(sender), "no series to send")
        receiver = ["--web.enable-remote-write-receiver"]
        with own_prometheus.started(there, settings, options=receiver, port=port) as (store, _):
            wait_until(lambda: names(store) == {"serving:a:bool", "up", "ALERTS"}, "what was sent")
            wait_until(lambda: 0 < oldest(store) <= first, "what was measured while the store was away")


def behind(sent: str) -> dict[str, str]:
    """Newest sample of Prometheus, a minute older than its clock, and the newest that was sent."""
    queue = own("prometheus_remote_storage_queue_highest_sent_timestamp_seconds", sent)
    return own("prometheus_remote_storage_highest_timestamp_in_seconds", "0+60x40") | queue


@PROMTOOL
def test_a_store_that_does_not_follow_is_told(tmp_path: Path, local: dict[str, Any]) -> None:
    settings = sending_to(9, local)
    refused = own("prometheus_remote_storage_samples_failed_total", "0x5 9+9x30")
    case = Case("SeriesNotSent", 30, (behind("0+60x5 300x35"), refused), (behind("0+60x40"),))
    tests = [counted(case, series, True) for series in case.fires]
    ran(tmp_path, rules_of(settings, case.alert), tests + [counted(case, series, False) for series in case.quiet])
