"""Prometheus' and Alertmanager's files, checked by their own tools, and the manifests around them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen_stack.specs import model_server, repair
from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.monitoring import alertmanager, cluster_access, dcgm_exporter, prometheus

from .promtool import PROMTOOL, checked, records

BUSY = 'DCGM_FI_DEV_GPU_UTIL{gpu="3",node="n"}'
AMTOOL = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not on PATH: apt-get install prometheus-alertmanager"
)


@PROMTOOL
def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path, settings: Any) -> None:
    # The rules lie at their mount in the pod, and in this folder here.
    (tmp_path / "rules.yml").write_text(alert_rules.rules_file(settings))
    checked("promtool", "check", "rules", tmp_path / "rules.yml")
    config = prometheus.prometheus_config(settings).replace(cluster_access.TOKEN_DIR, str(tmp_path))
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(config.replace(prometheus.CONFIG_DIR, str(tmp_path)))
    checked("promtool", "check", "config", tmp_path / "prometheus.yml")


@PROMTOOL
def test_gpu_utilisation_is_recorded_as_a_ratio(tmp_path: Path, settings: Any) -> None:
    expected = {'serving:gpu_utilization:ratio{gpu="3",node="n"}': 0.95}
    records(tmp_path, alert_rules.rules_file(settings), [(BUSY, "95")], expected)


def test_every_scrape_job_asks_a_headless_service_and_a_port_that_exist(settings: Any) -> None:
    services = {
        service["metadata"]["name"]: service["spec"]
        for service in (
            gateway.metrics_service(),
            *(model_server.discovery(model) for model in settings.models),
            *(model_server.watched(model) for model in settings.models),
            dcgm_exporter.discovery(),
            repair.discovery(),
        )
    }
    config = yaml.safe_load(prometheus.prometheus_config(settings))
    discoveries = [one for job in config["scrape_configs"] for one in job.get("dns_sd_configs", [])]
    named = [(name.partition(".")[0], one["port"]) for one in discoveries for name in one["names"]]
    assert {name for name, _ in named} == set(services)
    assert all(name.endswith(".qwen.svc.cluster.local.") for one in discoveries for name in one["names"])
    for name, port in named:
        assert services[name]["clusterIP"] == "None"
        assert port in [port["port"] for port in services[name]["ports"]]


@AMTOOL
@pytest.mark.parametrize("url", [None, "http://receiver.example/hook"])
def test_amtool_accepts_the_configuration(tmp_path: Path, settings: Any, url: str | None) -> None:
    monitoring = settings.monitoring.model_copy(update={"alert_webhook_url": url})
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager.alertmanager_config(monitoring))
    checked("amtool", "check-config", path)
    assert (url is not None) == ("webhook_configs" in yaml.safe_load(path.read_text())["receivers"][0])
