"""Logs are kept within bounds, where the site says, and a collector reads the stack's files and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from qwen_stack import config, policies
from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.monitoring import log_collector, logs

from .network import OUTSIDE, Network, part
from .recorded_stack import Objects, run_program


@pytest.fixture
def kept(local: dict[str, Any]) -> dict[str, Any]:
    """The lab's stack with logs."""
    named = {"victoriaLogs": "victoria-logs:v1", "vlagent": "vlagent:v1"}
    images = {key: f"{local['registry']}/{image}" for key, image in named.items()}
    return {**local, "images": {**local["images"], **images}, "logs": {}}


def spec(objects: Objects, name: str) -> Any:
    return objects[name].inputs["spec"]


def test_without_the_key_nothing_of_it_is_there(local: dict[str, Any]) -> None:
    assert not {name for name in run_program(local) if name.partition("/")[2].startswith("log")}


def test_old_lines_go_by_age_and_before_their_room_is_full(kept: dict[str, Any]) -> None:
    settings = config.parse({**kept, "logs": {"retentionDays": 7, "storageLimit": "5Gi"}})
    arguments = logs.server(settings).arguments
    assert "-retentionPeriod=7d" in arguments
    assert f"-retention.maxDiskSpaceUsageBytes={4 * 2**30}" in arguments
    buffer = next(one for one in log_collector.arguments(settings) if "maxDiskUsagePerURL" in one)
    assert int(buffer.partition("=")[2]) < 2**30, "less than the folder that it lies in"


@pytest.mark.parametrize("storage", [None, {"className": "fast"}, {"host": "gpu1"}])
def test_lines_lie_where_the_measurements_do(kept: dict[str, Any], storage: Any) -> None:
    built = run_program({**kept, "monitoring": {**kept["monitoring"], "storage": storage}})
    [data] = [one for one in spec(built, "Deployment/logs")["template"]["spec"]["volumes"] if one["name"] == "data"]
    assert ("emptyDir" in data) == (storage is None)
    assert ("PersistentVolumeClaim/logs" in built) == (storage is not None)
    assert ("PersistentVolume/qwen-logs" in built) == bool(storage and "host" in storage)


def test_the_collector_runs_on_every_host_and_reads_the_files_of_this_stack_alone(kept: dict[str, Any]) -> None:
    built = run_program(kept)
    pod = spec(built, "DaemonSet/log-collector")["template"]["spec"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert "nodeSelector" not in pod
    [container] = pod["containers"]
    assert any(one.endswith('!kubernetes.pod_namespace:="qwen"') for one in container["args"])
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}
    assert mounts == {"/var/log/containers": True, "/var/log/pods": True, "/data": False}
    claimed = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert all(one["readOnly"] for one in claimed), "else the kubelet would give every file another group"
    assert "fsGroup" not in pod["securityContext"]
    assert pod["securityContext"]["runAsUser"] != 0


def test_its_account_may_do_what_vlagent_asks_of_the_api_and_changes_nothing(kept: dict[str, Any]) -> None:
    rules = run_program(kept)["ClusterRole/qwen-log-collector"].inputs["rules"]
    rights = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    # Its own pod and node by name; all namespaces; the pods of its node, at its start and as they come.
    assert rights == {"nodes": {"get"}, "namespaces": {"list"}, "pods": {"get", "list", "watch"}}


def test_only_collectors_and_prometheus_reach_the_lines(kept: dict[str, Any]) -> None:
    network = Network(config.parse(kept))
    collector, server, prometheus = map(part, ("log-collector", "logs", "prometheus"))
    assert network.allows(collector, server, 9428)
    assert network.allows(collector, OUTSIDE, 6443)
    assert network.allows(prometheus, server, 9428)
    assert network.allows(prometheus, collector, 9429)
    for other in (OUTSIDE, part("gateway"), part("model-server"), part("stray")):
        assert not network.allows(other, server, 9428)
        assert not network.allows(other, collector, 9429)
    assert not network.allows(server, OUTSIDE, 443)


def test_prometheus_tells_when_a_part_of_it_is_away(kept: dict[str, Any]) -> None:
    down = {alert.name: alert.expression for alert in alert_rules.alerts(config.parse(kept))}
    assert 'absent(up{job="log-collector"})' in down["TargetsVanished"]
    assert "log-collector" in down["TargetDown"]


def test_every_rule_of_the_stacks_objects_holds(kept: dict[str, Any]) -> None:
    objects = {name: args.inputs for name, args in run_program(kept).items()}
    assert policies.problems(policies.Rendered(objects, kept["registry"])) == []


@pytest.mark.parametrize("name", ["victoriaLogs", "vlagent"])
def test_logs_without_an_image_are_refused(kept: dict[str, Any], name: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**kept, "images": {key: image for key, image in kept["images"].items() if key != name}})
    [problem] = caught.value.problems
    assert problem.keys == ("logs", f"images.{name}")
