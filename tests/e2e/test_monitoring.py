"""Prometheus sees the gateway, the model servers and the GPUs, and holds the guide's rule."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

from lab.hosts import inventory

PROMETHEUS = "http://127.0.0.1:9090"
PATIENCE_S = 180
MOST_MEMORY = 300_000_000


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
    assert {"gateway", "model-server", "dcgm-exporter", "node-exporter", "etcd", "prometheus", "alertmanager"} <= jobs


@pytest.mark.parametrize(
    "series",
    ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_FB_USED"],
)
def test_eight_gpus_report_their_hardware_metrics(series: str) -> None:
    assert len({s["metric"]["gpu"] for s in ask("query", query=series)["result"]}) == 8


def test_the_engine_and_the_gateway_report_theirs() -> None:
    assert ask("query", query="vllm:generation_tokens_total > 0")["result"]
    assert ask("query", query="envoy_http_downstream_rq_xx")["result"]


def nodes(series: str) -> set[str]:
    """Nodes that a series is about."""
    return {found["metric"]["node"] for found in ask("query", query=series)["result"]}


@pytest.mark.parametrize(
    ("job", "series"),
    [
        ("node-exporter", "serving:host_memory_free:ratio > 0"),
        ("node-exporter", "serving:host_filesystem_free:ratio"),
        ("kubelet", "serving:kubelet_pods:pods > 0"),
        ("kubelet", "serving:kubelet_certificate_left:seconds > 86400"),
        ("containers", "serving:container_memory_used:bytes > 0"),
    ],
)
def test_every_host_is_measured(job: str, series: str) -> None:
    assert nodes(f'up{{job="{job}"}} == 1') == nodes(series) == set(inventory.hosts())


@pytest.mark.parametrize(
    ("job", "series"),
    [
        ("kube-apiserver", 'serving:api_answers:total{class="2xx"} > 0'),
        ("etcd", "serving:etcd_has_leader:bool == 1"),
        ("etcd", 'serving:etcd_fsync:seconds_bucket{le="+Inf"} > 0'),
        ("node-exporter", "serving:backup_age:seconds < 6.5 * 3600"),
        ("node-exporter", 'serving:certificate_left:seconds{file="/etc/kubernetes/pki/apiserver.crt"} > 86400'),
        ("node-exporter", 'serving:certificate_left:seconds{file="/etc/kubernetes/admin.conf"} > 86400'),
    ],
)
def test_the_control_plane_is_measured(job: str, series: str) -> None:
    assert "cp1" in nodes(f'up{{job="{job}"}} == 1')
    assert nodes(series) == {"cp1"}


def test_the_weights_of_each_gpu_host_are_known_by_their_digest() -> None:
    found = [one["metric"] for one in ask("query", query="serving:weights_held:info")["result"]]
    assert {one["node"] for one in found} == set(inventory.hosts("gpu"))
    assert all(len(one["manifest"]) == 64 for one in found)


def test_what_waits_for_hosts_is_quiet_while_they_are_well() -> None:
    firing = {found["metric"]["alertname"] for found in ask("query", query='ALERTS{alertstate="firing"}')["result"]}
    assert not firing & {"HostDown", "KubeletDown", "ApiDown", "EtcdDown", "EtcdNoLeader", "BackupOld", "DiskFailed"}


def test_prometheus_keeps_what_rules_read_and_no_more() -> None:
    jobs = "node-exporter|kubelet|containers|kube-apiserver|etcd"
    query = f'count by (__name__) ({{job=~"{jobs}",__name__!~"serving:.*|up|scrape_.*|ALERTS.*"}})'
    kept = {found["metric"]["__name__"] for found in ask("query", query=query)["result"]}
    rules = [rule["query"] for group in ask("rules")["groups"] for rule in group["rules"]]
    assert not {name for name in kept if not any(name in rule for rule in rules)}
    [heads] = ask("query", query="process_resident_memory_bytes{job='prometheus'}")["result"]
    assert float(heads["value"][1]) < MOST_MEMORY


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
