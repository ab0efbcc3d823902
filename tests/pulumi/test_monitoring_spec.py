"""Prometheus' and Alertmanager's files, checked by their own tools, and the manifests around them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen_stack.specs import alert_rules, alertmanager, dcgm_exporter, gateway, model_server, prometheus, single_pod

from .promtool import PROMTOOL, checked, fires, records

BUSY = 'DCGM_FI_DEV_GPU_UTIL{gpu="3",node="n"}'
AMTOOL = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not on PATH: apt-get install prometheus-alertmanager"
)


def servers(settings: Any) -> list[str]:
    return [model.server for model in settings.models]


@PROMTOOL
def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path, settings: Any) -> None:
    # The rules lie at their mount in the pod, and in this folder here.
    (tmp_path / "rules.yml").write_text(alert_rules.rules_file(settings.monitoring))
    checked("promtool", "check", "rules", tmp_path / "rules.yml")
    config = prometheus.prometheus_config(settings.monitoring, settings.service_domain, servers(settings))
    (tmp_path / "prometheus.yml").write_text(config.replace(prometheus.CONFIG_DIR, str(tmp_path)))
    checked("promtool", "check", "config", tmp_path / "prometheus.yml")


@PROMTOOL
def test_gpu_utilisation_is_recorded_as_a_ratio(tmp_path: Path, settings: Any) -> None:
    expected = {'serving:gpu_utilization:ratio{gpu="3",node="n"}': 0.95}
    records(tmp_path, alert_rules.rules_file(settings.monitoring), [(BUSY, "95")], expected)


@PROMTOOL
@pytest.mark.parametrize(("percent", "is_firing"), [(95, True), (85, False)])
def test_high_gpu_usage_fires_on_a_busy_gpu_only(tmp_path: Path, settings: Any, percent: int, is_firing: bool) -> None:
    alert = {
        "exp_labels": {"alertname": "HighGPUUsage", "severity": "critical", "gpu": "3", "node": "n"},
        "exp_annotations": {
            "summary": "GPU 3 of n has no headroom",
            "found": "95% utilisation on average over 5 minutes",
            "needed": "at most 90%, so that a burst does not queue",
            "remedy": "Compare with the other GPUs: all high means too few replicas (raise its replicas); "
            "one high means uneven load (see the gateway's sessions for each server).",
        },
    }
    expected = {"4m": [], "11m": [alert] if is_firing else []}
    rules = alert_rules.rules_file(settings.monitoring)
    fires(tmp_path, rules, [(BUSY, str(percent))], "HighGPUUsage", expected)


def test_alerts_read_only_the_contract_and_say_what_to_do(settings: Any) -> None:
    for alert in alert_rules.alerts(settings.monitoring):
        assert "serving:" in alert["expr"]
        assert "DCGM" not in alert["expr"]
        assert set(alert["annotations"]) == {"summary", "found", "needed", "remedy"}


def test_every_scrape_job_asks_a_headless_service_and_a_port_that_exist(settings: Any) -> None:
    services = {
        service["metadata"]["name"]: service["spec"]
        for service in (
            gateway.metrics_service(),
            *(model_server.discovery(model) for model in settings.models),
            dcgm_exporter.discovery(),
        )
    }
    config = yaml.safe_load(
        prometheus.prometheus_config(settings.monitoring, settings.service_domain, servers(settings))
    )
    discoveries = [one for job in config["scrape_configs"] for one in job.get("dns_sd_configs", [])]
    named = [(name.partition(".")[0], one["port"]) for one in discoveries for name in one["names"]]
    assert {name for name, _ in named} == set(services)
    assert all(name.endswith(".qwen.svc.cluster.local.") for one in discoveries for name in one["names"])
    for name, port in named:
        assert services[name]["clusterIP"] == "None"
        assert port in [port["port"] for port in services[name]["ports"]]


def test_prometheus_has_no_right_to_read_the_cluster(settings: Any) -> None:
    server = prometheus.server(settings.monitoring, "d", servers(settings))
    pod = single_pod.deployment(server, "image")["spec"]["template"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod["spec"]


@AMTOOL
@pytest.mark.parametrize("url", [None, "http://receiver.example/hook"])
def test_amtool_accepts_the_configuration(tmp_path: Path, settings: Any, url: str | None) -> None:
    monitoring = settings.monitoring.model_copy(update={"alert_webhook_url": url})
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager.alertmanager_config(monitoring))
    checked("amtool", "check-config", path)
    assert (url is not None) == ("webhook_configs" in yaml.safe_load(path.read_text())["receivers"][0])
