"""Data of monitoring outlive their pods where a site says so, never fill a volume, and show nobody the receiver."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from qwen_stack import config
from qwen_stack.specs.monitoring import alertmanager, prometheus, single_pod

from .recorded_stack import SECRET_MARKER, Objects, names, run_program

WEBHOOK = "https://alerts.example/hooks/a-password"


def built(local: dict[str, Any], **monitoring: Any) -> Objects:
    return run_program({**local, "monitoring": {**local["monitoring"], **monitoring}})


def volume(objects: Objects, name: str) -> Any:
    volumes = objects[f"Deployment/{name}"].inputs["spec"]["template"]["spec"]["volumes"]
    return next(volume for volume in volumes if volume["name"] == "data")


def test_without_a_choice_data_end_with_the_pod(local: dict[str, Any]) -> None:
    objects = built(local)
    assert "emptyDir" in volume(objects, "prometheus")
    assert not {"PersistentVolumeClaim/prometheus", "PersistentVolumeClaim/alertmanager"} & objects.keys()


def test_volumes_of_a_class_are_claimed(local: dict[str, Any]) -> None:
    objects = built(local, storage={"className": "fast"})
    for name, size in (("prometheus", "1Gi"), ("alertmanager", "64Mi")):
        assert volume(objects, name)["persistentVolumeClaim"] == {"claimName": name}
        claim = objects[f"PersistentVolumeClaim/{name}"].inputs
        assert claim["spec"]["storageClassName"] == "fast"
        assert claim["spec"]["resources"]["requests"]["storage"] == size
        # Pulumi would wait for a volume that is made for the pod, which waits for pulumi.
        assert claim["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert "PersistentVolume/qwen-prometheus" not in objects


def test_folders_of_a_host_are_volumes_that_stay_when_the_stack_goes(local: dict[str, Any]) -> None:
    objects = built(local, storage={"host": "gpu1"})
    disk = objects["PersistentVolume/qwen-prometheus"].inputs["spec"]
    assert disk["local"] == {"path": "/var/lib/qwen/monitoring/prometheus"}
    assert disk["persistentVolumeReclaimPolicy"] == "Retain"
    assert disk["claimRef"] == {"namespace": "qwen", "name": "prometheus"}
    [term] = disk["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["gpu1"]
    claim = objects["PersistentVolumeClaim/prometheus"].inputs["spec"]
    # An empty class keeps the cluster's default class from making another volume.
    assert (claim["volumeName"], claim["storageClassName"]) == ("qwen-prometheus", "")


@pytest.mark.parametrize("storage", [{}, {"className": "fast", "host": "gpu1"}])
def test_one_kind_of_volume_is_asked_for(local: dict[str, Any], storage: dict[str, str]) -> None:
    values = {**local, "monitoring": {**local["monitoring"], "storage": storage}}
    with pytest.raises(config.ConfigError, match=r"monitoring.storage.className, monitoring.storage.host: found: "):
        config.parse(values)


@pytest.mark.parametrize(("limit", "most"), [("1Gi", 858993459), ("100Gi", 85899345920), ("500Mi", 419430400)])
def test_old_data_go_before_the_volume_is_full(local: dict[str, Any], limit: str, most: int) -> None:
    settings = config.parse({**local, "monitoring": {**local["monitoring"], "storageLimit": limit}})
    assert f"--storage.tsdb.retention.size={most}B" in prometheus.server(settings).arguments


def test_two_alertmanagers_find_each_other_and_prometheus_tells_both(local: dict[str, Any]) -> None:
    objects = built(local, alertmanagerReplicas=2, storage={"className": "fast"})
    new = {"Service/alertmanager-peers", "PodDisruptionBudget/alertmanager", "PersistentVolumeClaim/prometheus"}
    assert names(objects) == names(built(local)) | new
    peers = objects["Service/alertmanager-peers"].inputs["spec"]
    assert peers["clusterIP"] == "None"
    assert peers["publishNotReadyAddresses"] is True
    spec = objects["Deployment/alertmanager"].inputs["spec"]
    assert spec["replicas"] == 2
    [container] = spec["template"]["spec"]["containers"]
    assert "--cluster.peer=alertmanager-peers.qwen.svc.cluster.local.:9094" in container["args"]
    [name] = [name for name in objects if name.startswith("ConfigMap/prometheus-config")]
    written = yaml.safe_load(objects[name].inputs["data"]["prometheus.yml"])
    [found] = written["alerting"]["alertmanagers"]
    assert found["dns_sd_configs"][0]["names"] == ["alertmanager-peers.qwen.svc.cluster.local."]


def test_a_single_alertmanager_waits_for_no_peers(settings: Any) -> None:
    assert "--cluster.listen-address=" in alertmanager.server(settings).arguments
    assert single_pod.peers(alertmanager.server(settings)) is None


@pytest.mark.parametrize("key", ["alertWebhookUrl", "watchdogUrl", "remoteWriteUrl"])
def test_an_address_in_plain_text_is_refused_and_not_shown(local: dict[str, Any], key: str) -> None:
    values = {**local, "monitoring": {**local["monitoring"], key: WEBHOOK}}
    with pytest.raises(config.ConfigError, match=f"monitoring.{key}: found: plain text") as refused:
        run_program(values, plain=["monitoring"])
    assert "a-password" not in str(refused.value)


def test_a_wrong_address_is_refused_and_not_shown(local: dict[str, Any]) -> None:
    values = {**local, "monitoring": {**local["monitoring"], "alertWebhookUrl": "ftp://a-password"}}
    with pytest.raises(
        config.ConfigError, match=r"monitoring.alertWebhookUrl: found: a value that is not shown"
    ) as refused:
        config.parse(values)
    assert "a-password" not in str(refused.value)


@pytest.mark.parametrize(("key", "server"), [("alertWebhookUrl", "alertmanager"), ("remoteWriteUrl", "prometheus")])
def test_the_address_lies_in_a_secret_that_pulumi_keeps_encrypted(local: dict[str, Any], key: str, server: str) -> None:
    objects = built(local, **{key: WEBHOOK})
    [name] = [name for name in objects if name.startswith(f"Secret/{server}-config")]
    data = objects.pop(name).inputs["data"]
    assert data[SECRET_MARKER]
    assert "a-password" not in str([one.inputs for one in objects.values()])
