"""The namespace bounds what runs in it: its rights, its GPUs, its ports, and who gives way to whom."""

from __future__ import annotations

from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import model_server, namespace, node_folder
from qwen_stack.specs.node_folder import NodeFolder

from .recorded_stack import Objects, pods, run_program


@pytest.fixture
def stack(example: dict[str, Any]) -> Objects:
    return run_program(example)


def test_no_pod_may_do_more_than_baseline() -> None:
    labels = namespace.namespace("qwen")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {"baseline"}


def test_weights_are_a_folder_of_every_gpu_host_that_nobody_writes_to(settings: Any) -> None:
    folder = model_server.weights(settings.models[0])
    volume = node_folder.persistent_volume(folder, "qwen")["spec"]
    assert volume["local"] == {"path": "/var/lib/qwen/models/smollm2-135m-instruct"}
    assert volume["accessModes"] == ["ReadOnlyMany"]
    assert node_folder.source(folder)["persistentVolumeClaim"]["readOnly"] is True
    [term] = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}]


def test_a_claim_gets_its_own_volume_and_no_other(settings: Any) -> None:
    folder = model_server.weights(settings.models[0])
    volume, claim = node_folder.persistent_volume(folder, "qwen"), node_folder.claim(folder, "qwen")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"] == {"namespace": "qwen", "name": claim["metadata"]["name"]}
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""


def test_another_path_is_another_volume_and_a_stack_shares_none_with_its_neighbour() -> None:
    one, other = NodeFolder("weights", "/srv/a"), NodeFolder("weights", "/srv/b")
    names = {
        node_folder.persistent_volume(folder, space)["metadata"]["name"]
        for folder in (one, other)
        for space in ("qwen", "staging")
    }
    assert len(names) == 4


def test_the_quota_counts_the_ports_that_the_stack_opens_on_every_host(stack: Objects) -> None:
    hard = stack["ResourceQuota/bounds"].inputs["spec"]["hard"]
    types = [args.inputs["spec"].get("type") for name, args in stack.items() if name.startswith("Service/")]
    assert int(hard["services.loadbalancers"]) == types.count("LoadBalancer")
    assert int(hard["services.nodeports"]) == types.count("NodePort") + types.count("LoadBalancer")
    assert "requests.nvidia.com/gpu" not in hard


def test_a_quota_of_gpus_is_the_namespaces(local: dict[str, Any]) -> None:
    hard = namespace.quota(config.parse({**local, "gpuQuota": 8}))["spec"]["hard"]
    assert hard["requests.nvidia.com/gpu"] == "8"


def test_a_quota_below_what_the_models_take_is_refused(local: dict[str, Any]) -> None:
    with pytest.raises(config.ConfigError, match="gpuQuota") as refused:
        config.parse({**local, "gpuQuota": 2})
    assert "models[0].replicas" in str(refused.value)


def test_a_container_that_says_nothing_of_its_memory_is_bounded() -> None:
    [limits] = namespace.limit_range()["spec"]["limits"]
    assert limits["type"] == "Container"
    assert limits["default"]["memory"]
    assert limits["defaultRequest"].keys() == {"cpu", "memory"}


def test_every_pod_has_a_class_that_the_stack_makes(stack: Objects) -> None:
    made = {args.inputs["metadata"]["name"] for name, args in stack.items() if name.startswith("PriorityClass/")}
    classes = {name: pod.get("priorityClassName") for name, pod in pods(stack).items()}
    assert len(classes) >= 5
    assert set(classes.values()) <= made
    assert classes["Deployment/gateway"] == "qwen-gateway"


def test_batch_gives_way_to_serving_and_serving_to_the_way_in(local: dict[str, Any]) -> None:
    batch = {**local["models"][1], "priority": "batch"}
    built = run_program({**local, "models": [local["models"][0], batch]})
    value = {name: args.inputs["value"] for name, args in built.items() if name.startswith("PriorityClass/")}
    classes = {name: f"PriorityClass/{pod['priorityClassName']}" for name, pod in pods(built).items()}
    batch_value, serving, gateway = (
        value[classes[f"Deployment/{name}"]] for name in ("model-server-reference", "model-server", "gateway")
    )
    assert 0 < batch_value < serving < gateway < 1_000_000_000


def test_replicas_spread_evenly_and_a_template_that_is_ending_does_not_count(stack: Objects) -> None:
    for name in ("Deployment/gateway", "Deployment/model-server"):
        [constraint] = pods(stack)[name]["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "kubernetes.io/hostname"
        assert constraint["maxSkew"] == 1
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway", "a small site has fewer hosts than replicas"
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]
