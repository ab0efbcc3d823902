"""Hosts that Prometheus asks: which are refused, what it keeps of them, and nothing about them where none is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs.alerts import alert_rules, host_rules
from qwen_stack.specs.monitoring import cluster_access, prometheus, scrape_jobs, single_pod


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ({"gpu1": "10.20.0.21", "gpu2": "10.20.0.21"}, r"(?s)monitoring\.hosts\.gpu1.*an address for each host"),
        ({"gpu1": "gpu1.example"}, r"(?s)monitoring\.hosts\.gpu1.*Expected 4 octets"),
        ({"GPU 1": "10.20.0.21"}, r"monitoring\.hosts"),
    ],
)
def test_hosts_that_cannot_be_told_apart_or_found_are_refused(
    local: dict[str, Any], hosts: dict[str, str], message: str
) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse({**local, "monitoring": {**local["monitoring"], "hosts": hosts}})


def test_without_hosts_nothing_waits_for_them(local: dict[str, Any]) -> None:
    monitoring = {key: value for key, value in local["monitoring"].items() if key not in ("hosts", "controlPlaneHosts")}
    settings = config.parse({**local, "monitoring": monitoring})
    assert "node-exporter" not in scrape_jobs.jobs(settings)
    assert "serving:host_" not in alert_rules.rules_file(settings)


def test_of_a_hosts_processors_only_idle_time_is_kept() -> None:
    [rule] = host_rules.kept()
    for name, mode, kept in (("node_cpu_seconds_total", "idle", True), ("node_cpu_seconds_total", "user", False)):
        assert bool(re.fullmatch(rule["regex"], f"{name};{mode}")) is kept
    assert re.fullmatch(rule["regex"], "node_md_disks;")
    assert not re.fullmatch(rule["regex"], "node_procs_running;")


def test_a_control_plane_that_is_no_host_is_refused(local: dict[str, Any]) -> None:
    with pytest.raises(
        config.ConfigError, match=r"(?s)monitoring\.controlPlaneHosts.*cp9.*names of monitoring.hosts: cp1"
    ):
        config.parse({**local, "monitoring": {**local["monitoring"], "controlPlaneHosts": ["cp9"]}})


def test_without_a_control_plane_nothing_waits_for_it(local: dict[str, Any]) -> None:
    monitoring = {key: value for key, value in local["monitoring"].items() if key != "controlPlaneHosts"}
    settings = config.parse({**local, "monitoring": monitoring})
    assert {"kubelet", "containers"} <= set(scrape_jobs.jobs(settings))
    assert not {"kube-apiserver", "etcd"} & set(scrape_jobs.jobs(settings))
    assert not {"BackupOld", "EtcdDown", "ApiDown"} & {alert.name for alert in alert_rules.alerts(settings)}


def test_prometheus_token_reads_measurements_and_nothing_else() -> None:
    assert cluster_access.role("qwen")["rules"] == [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]


def test_only_where_hosts_are_asked_the_pod_holds_a_token(local: dict[str, Any]) -> None:
    monitoring = {key: value for key, value in local["monitoring"].items() if key not in ("hosts", "controlPlaneHosts")}
    for values, account in ((local, "prometheus"), ({**local, "monitoring": monitoring}, None)):
        pod = single_pod.deployment(prometheus.server(config.parse(values)), "i")["spec"]["template"]["spec"]
        assert pod.get("serviceAccountName") == account
        assert pod["automountServiceAccountToken"] is bool(account)


def test_a_token_goes_to_kubelets_and_api_servers_alone(settings: Any) -> None:
    jobs = {job["job_name"]: job for job in scrape_jobs.scrape_configs(settings)}
    assert {name for name, job in jobs.items() if "authorization" in job} == {"kubelet", "containers", "kube-apiserver"}
    assert "insecure_skip_verify" not in jobs["kube-apiserver"]["tls_config"]
