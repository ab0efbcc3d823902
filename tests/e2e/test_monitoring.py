"""Prometheus sees the gateway, the model servers and the GPUs, and holds the guide's rule."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

PROMETHEUS = "http://127.0.0.1:9090"
PATIENCE_S = 180


def ask(path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


def test_every_target_is_up() -> None:
    deadline = time.monotonic() + PATIENCE_S
    while down := [
        t["labels"] | {"error": t["lastError"]} for t in ask("targets")["activeTargets"] if t["health"] != "up"
    ]:
        assert time.monotonic() < deadline, down
        time.sleep(2)
    jobs = {t["labels"]["job"] for t in ask("targets")["activeTargets"]}
    assert {"gateway", "model-server", "dcgm-exporter", "prometheus", "alertmanager"} <= jobs


@pytest.mark.parametrize(
    "series",
    ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_FB_USED"],
)
def test_eight_gpus_report_their_hardware_metrics(series: str) -> None:
    assert len({s["metric"]["gpu"] for s in ask("query", query=series)["result"]}) == 8


def test_the_engine_and_the_gateway_report_theirs() -> None:
    assert ask("query", query="vllm:generation_tokens_total > 0")["result"]
    assert ask("query", query="envoy_http_downstream_rq_xx")["result"]


def test_both_engines_are_read_by_the_same_names() -> None:
    for series in ("serving:generation_tokens:total", "serving:time_to_first_token:seconds_count"):
        engines = {found["metric"]["engine"] for found in ask("query", query=f"{series} >= 0")["result"]}
        assert engines == {"vllm", "transformers"}, series


def test_what_the_engine_and_its_supervisor_tell_is_recorded_under_neutral_names() -> None:
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    for series in ('serving:generation_tokens:total{engine="vllm"} > 0', "serving:start_time:seconds > 0"):
        assert ask("query", query=series)["result"], series


def test_high_gpu_usage_is_a_loaded_and_healthy_rule() -> None:
    rules = {r["name"]: r for g in ask("rules")["groups"] for r in g["rules"]}
    rule = rules["HighGPUUsage"]
    assert rule["health"] == "ok"
    assert rule["labels"]["severity"] == "critical"
    assert rule["duration"] == 300


def test_prometheus_knows_its_alertmanager_and_it_answers() -> None:
    assert ask("alertmanagers")["activeAlertmanagers"]
    with urllib.request.urlopen("http://127.0.0.1:9093/-/ready", timeout=10) as answer:
        assert answer.status == 200
