"""The whole program with recorded resources; only pulumi's engine and the cluster are missing."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.mocks import MockMonitor

from .planned_stacks import with_entry, write_plan
from .recorded_stack import PROJECT, SECRET_MARKER, Objects, makes_pods, names, pods, run_program

OF_THE_CLUSTER = ("ClusterRole", "ClusterRoleBinding", "Namespace", "PersistentVolume", "PriorityClass")


def by_hand(local: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The first model with two replicas and without a plan."""
    entry = {key: value for key, value in local["models"][0].items() if key not in ("plan", "spareReplicas")}
    return {**entry, "maxModelLen": 2048, "replicas": 2, **changes}


@pytest.fixture
def stack(local: dict[str, Any]) -> Objects:
    return run_program(local)


def test_every_pod_pulls_with_the_registrys_login(local: dict[str, Any]) -> None:
    stack = run_program({**local, "registryLogin": {"user": "stack", "password": "hunter2"}})
    templates = {name: args.inputs["spec"]["template"] for name, args in stack.items() if makes_pods(args)}
    assert len(templates) >= 5
    assert all(template["spec"]["imagePullSecrets"] == [{"name": "registry-login"}] for template in templates.values())
    data = stack["Secret/registry-login"].inputs["data"]
    assert data[SECRET_MARKER]
    [(registry, login)] = json.loads(base64.b64decode(data["value"][".dockerconfigjson"]))["auths"].items()
    assert registry == local["registry"]
    assert base64.b64decode(login["auth"]) == b"stack:hunter2"


def test_the_login_of_a_project_is_for_its_images_alone(local: dict[str, Any]) -> None:
    """The kubelet takes the key of a login for the beginning of the names of images that it is for."""
    project = f"{local['registry']}/qwen"
    images = {name: image.replace(local["registry"], project) for name, image in local["images"].items()}
    login = {"user": "robot$qwen+stack", "password": "hunter2"}
    stack = run_program({**local, "registry": project, "images": images, "registryLogin": login})
    data = stack["Secret/registry-login"].inputs["data"]["value"][".dockerconfigjson"]
    assert set(json.loads(base64.b64decode(data))["auths"]) == {project}
    used = {container["image"] for pod in pods(stack).values() for container in pod["containers"]}
    assert used
    assert all(image.startswith(f"{project}/") for image in used)


def test_the_stack_is_these_objects_and_no_others(stack: Objects) -> None:
    assert names(stack) == {
        "Namespace/qwen",
        "Deployment/model-server",
        "Service/model-server",
        "Service/model-server-watched",
        "PodDisruptionBudget/model-server",
        "Deployment/model-server-reference",
        "Service/model-server-reference",
        "Service/model-server-reference-watched",
        "PodDisruptionBudget/model-server-reference",
        "ConfigMap/model-server-plan-<digest>",
        "ConfigMap/gateway-config-<digest>",
        "ConfigMap/gateway-weights-<digest>",
        "Secret/gateway-clients",
        "Secret/engine-keys",
        "Secret/gateway-engine-key",
        "Deployment/gateway",
        "Service/gateway",
        "Service/gateway-metrics",
        "PodDisruptionBudget/gateway",
        "ConfigMap/dcgm-exporter-counters-<digest>",
        "DaemonSet/dcgm-exporter",
        "Service/dcgm-exporter",
        "Secret/alertmanager-config-<digest>",
        "Deployment/alertmanager",
        "Service/alertmanager",
        "ConfigMap/prometheus-config-<digest>",
        "Deployment/prometheus",
        "Service/prometheus",
        "ServiceAccount/prometheus",
        "ConfigMap/dashboards-config-<digest>",
        "Deployment/dashboards",
        "Service/dashboards",
        "NetworkPolicy/dashboards",
        "ClusterRole/qwen-prometheus",
        "ClusterRoleBinding/qwen-prometheus",
        "PersistentVolume/qwen-weights-<digest>",
        "PersistentVolumeClaim/weights-<digest>",
        "LimitRange/bounds",
        "ResourceQuota/bounds",
        "PriorityClass/qwen-gateway",
        "PriorityClass/qwen-serving",
        "PriorityClass/qwen-batch",
        "NetworkPolicy/closed",
        "NetworkPolicy/gateway",
        "NetworkPolicy/model-server",
        "NetworkPolicy/model-server-reference",
        "NetworkPolicy/dcgm-exporter",
        "NetworkPolicy/prometheus",
        "NetworkPolicy/alertmanager",
        "NetworkPolicy/repair",
        "Deployment/repair",
        "Service/repair",
        "ServiceAccount/repair",
        "ConfigMap/repair-config-<digest>",
        "ClusterRole/qwen-repair",
        "ClusterRoleBinding/qwen-repair",
    }


@pytest.fixture
def left_alone(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Keys of each object that no change touches, filled while the program runs."""
    seen: dict[str, list[str]] = {}
    register = MockMonitor.RegisterResource

    def recorded(monitor: MockMonitor, request: Any) -> Any:
        seen[f"{request.type.rpartition(':')[2]}/{request.name}"] = list(request.ignoreChanges)
        return register(monitor, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", recorded)
    return seen


def test_replicas_that_follow_the_requests_are_counted_by_keda_alone(
    stack: Objects, local: dict[str, Any], left_alone: dict[str, list[str]]
) -> None:
    entry = {**local["models"][0], "autoscaling": {"max": 2}, "acceptOutage": True}
    built = run_program({**local, "models": [entry, local["models"][1]]})
    assert names(built) == names(stack) | {"ScaledObject/model-server"}
    scaled = built["ScaledObject/model-server"].inputs
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["metadata"]["namespace"] == "qwen"
    assert scaled["spec"]["scaleTargetRef"]["name"] == "model-server"
    assert {name: keys for name, keys in left_alone.items() if keys} == {"Deployment/model-server": ["spec.replicas"]}
    assert scaled["spec"]["triggers"][0]["metadata"]["serverAddress"] == "http://prometheus.qwen.svc.cluster.local:9090"


def test_groups_beyond_the_fewest_are_switched_and_the_others_are_the_stacks_own(
    example: dict[str, Any], left_alone: dict[str, list[str]], tmp_path: Path
) -> None:
    write_plan(tmp_path / "plan.json", "Qwen3-Coder-480B-A35B-Instruct", 4)
    entry = {"name": "qwen3-coder-480b-a35b-instruct", "plan": str(tmp_path / "plan.json"), "autoscaling": {"min": 1}}
    built = run_program(with_entry(example, **entry, acceptOutage=True))
    assert {name for name in built if name.startswith("ScaledObject")} == {"ScaledObject/model-server-1"}
    assert {name: keys for name, keys in left_alone.items() if keys} == {
        "StatefulSet/model-server-1": ["spec.replicas"]
    }
    forced = {name for name, args in built.items() if "pulumi.com/patchForce" in json.dumps(args.inputs["metadata"])}
    assert forced == {"StatefulSet/model-server-0"}


def test_replicas_over_several_hosts_are_sets_with_a_meeting_point_each(stack: Objects, local: dict[str, Any]) -> None:
    groups = {"gpusPerReplica": 2, "nodesPerReplica": 2, "extraArgs": ["--tensor-parallel-size", "2"]}
    built = run_program({**local, "models": [by_hand(local, **groups), local["models"][1]]})
    new = {
        f"{kind}/model-server-{replica}" for kind in ("StatefulSet", "Service", "NetworkPolicy") for replica in (0, 1)
    }
    gone = {"Deployment/model-server", "ConfigMap/model-server-plan-<digest>"}
    assert names(built) == names(stack) - gone | new


def test_a_second_model_has_a_plan_and_objects_of_its_own(stack: Objects, local: dict[str, Any]) -> None:
    second = {**local["models"][0], "servedName": "Tiny.2", "name": "smollm2-135m-instruct", "variant": "two"}
    built = run_program({**local, "models": [*local["models"], second]})
    new = {f"{kind}/model-server-two" for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")}
    new.add("Service/model-server-two-watched")
    assert names(built) == names(stack) | new | {"ConfigMap/model-server-two-plan-<digest>"}
    changed = {name for name in stack if name not in built or built[name].inputs != stack[name].inputs}
    assert names(changed) == {
        "ConfigMap/gateway-config-<digest>",
        "ConfigMap/gateway-weights-<digest>",
        "Deployment/gateway",
        "ConfigMap/prometheus-config-<digest>",
        "Deployment/prometheus",
        "NetworkPolicy/gateway",
        "NetworkPolicy/prometheus",
    }


def test_every_object_is_in_the_namespace_and_carries_the_stacks_labels(stack: Objects) -> None:
    for name, args in stack.items():
        metadata = args.inputs["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == PROJECT, name
        if name.partition("/")[0] in OF_THE_CLUSTER:
            assert metadata["name"].startswith("qwen"), "two stacks of one cluster share no object"
        else:
            assert metadata["namespace"] == "qwen", name


def test_no_key_reaches_the_cluster_and_the_digests_are_secret(stack: Objects, local: dict[str, Any]) -> None:
    everything = json.dumps([args.inputs for args in stack.values()])
    assert local["apiKeys"]["default"] not in everything
    for name in ("gateway-clients", "engine-keys", "gateway-engine-key"):
        assert stack[f"Secret/{name}"].inputs["data"][SECRET_MARKER]
    assert SECRET_MARKER not in json.dumps(stack["Deployment/gateway"].inputs)


def test_the_address_of_a_webhook_is_a_secret(local: dict[str, Any]) -> None:
    url = "https://hooks.example.internal/T0/secret"
    built = run_program({**local, "monitoring": {**local["monitoring"], "alertWebhookUrl": url}})
    [data] = [args.inputs["data"] for name, args in built.items() if name.startswith("Secret/alertmanager-config")]
    assert data[SECRET_MARKER]
    assert url in base64.b64decode(data["value"]["alertmanager.yml"]).decode()
    assert url not in json.dumps([args.inputs for args in built.values()])


def test_a_new_key_changes_its_secret_and_restarts_nothing(stack: Objects, local: dict[str, Any]) -> None:
    changes: dict[str, Any] = {
        "apiKeys": {"default": "another-key-for-tests-0123"},
        "engineKeys": ["another-key-of-engines-for-tests"],
    }
    secrets = {"apiKeys": {"Secret/gateway-clients"}, "engineKeys": {"Secret/engine-keys", "Secret/gateway-engine-key"}}
    for key, value in changes.items():
        changed = run_program({**local, key: value})
        assert {name for name, args in changed.items() if args.inputs != stack[name].inputs} == secrets[key]


def test_pods_of_engines_hold_no_key_that_opens_another_engine(stack: Objects) -> None:
    held = {name: json.dumps(pod) for name, pod in pods(stack).items() if "gateway-engine-key" in json.dumps(pod)}
    assert set(held) == {"Deployment/gateway"}


def test_limits_add_one_pod_and_their_change_restarts_nothing(stack: Objects, local: dict[str, Any]) -> None:
    limited = run_program({**local, "gateway": {**local["gateway"], "limits": {}}})
    new = {"ConfigMap/limits-config", "Deployment/limits", "Service/limits", "NetworkPolicy/limits"}
    assert names(limited) == names(stack) | new
    pod = limited["Deployment/limits"].inputs["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == local["images"]["runtime"]
    default = {"default": {"inFlight": 3}}
    changed = run_program({**local, "gateway": {**local["gateway"], "limits": default}})
    assert {name for name, args in changed.items() if args.inputs != limited[name].inputs} == {
        "ConfigMap/limits-config"
    }


def test_a_rollout_is_waited_for_as_long_as_it_may_take(settings: Any) -> None:
    from qwen_stack.specs import model_server

    model = settings.models[0]
    assert model_server.rollout_seconds(model) >= (model.replicas + 1) * model.startup_seconds


@pytest.mark.parametrize("hosts_of_a_replica", [1, 2])
def test_every_pod_that_uses_gpus_gets_the_driver_by_the_sites_runtime_class(
    local: dict[str, Any], hosts_of_a_replica: int
) -> None:
    replica = {"gpusPerReplica": 2, "nodesPerReplica": hosts_of_a_replica, "extraArgs": ["--tensor-parallel-size=2"]}
    gpus = 2 // hosts_of_a_replica
    variant = {**local["models"][1], "gpusPerReplica": gpus, "extraArgs": [f"--tp-size={gpus}"]}
    models = [by_hand(local, **replica), variant]
    built = pods(run_program({**local, "gpuRuntimeClass": "gpu-class", "models": models}))
    lodgers = {"Deployment/repair", "Deployment/dashboards"}
    using = {name for name, pod in built.items() if "nvidia.com/gpu" in json.dumps(pod)} - lodgers
    assert len(using) >= 3, "model servers, a variant and the exporter; the lodgers only run on their hosts"
    assert {name for name, pod in built.items() if pod.get("runtimeClassName") == "gpu-class"} == using


def test_a_container_sees_the_gpus_that_it_holds_or_says_which(stack: Objects) -> None:
    """The variable in a container's environment wins over the device plugin's, and both win over the image's."""
    for name, pod in pods(stack).items():
        if "nvidia.com/gpu" not in json.dumps(pod):
            continue
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            holds = "nvidia.com/gpu" in container["resources"]["limits"]
            said = [entry["value"] for entry in container["env"] if entry["name"] == "NVIDIA_VISIBLE_DEVICES"]
            assert len(said) == (0 if holds else 1), f"{name}: {container['name']}"
