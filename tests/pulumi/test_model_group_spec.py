"""A replica over several hosts is one group: its pods start together, find each other, and the leader answers."""

from typing import Any

import pytest

from qwen_stack.specs import model_group, model_server


@pytest.fixture
def model(settings: Any) -> Any:
    sizes = {"gpus_per_replica": 16, "nodes_per_replica": 2, "replicas": 2, "extra_args": ("--seed=1",), "plan": None}
    return settings.models[0].model_copy(update=sizes)


@pytest.fixture
def group(model: Any) -> dict[str, Any]:
    return model_group.stateful_set(model, "image", 1, "nvidia")


@pytest.fixture
def container(group: dict[str, Any]) -> dict[str, Any]:
    [only] = group["spec"]["template"]["spec"]["containers"]
    return only


def flags(container: dict[str, Any]) -> dict[str, str]:
    argv = container["args"][: container["args"].index("--")]
    return dict(zip(argv[1::2], argv[2::2], strict=True))


def test_all_pods_of_a_group_start_at_once_and_are_never_of_two_versions(group: dict[str, Any]) -> None:
    assert group["spec"]["replicas"] == 2
    assert group["spec"]["podManagementPolicy"] == "Parallel"
    assert group["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_a_pod_takes_its_rank_from_its_ordinal_and_its_share_of_the_gpus(container: dict[str, Any]) -> None:
    assert flags(container)["--nodes"] == "2"
    assert flags(container)["--node-rank"] == "$(NODE_RANK)"
    [rank] = [entry for entry in container["env"] if entry["name"] == "NODE_RANK"]
    assert rank["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_followers_find_the_leader_by_its_name_before_anyone_is_ready(
    model: Any, group: dict[str, Any], container: dict[str, Any]
) -> None:
    service = model_group.meeting_point(model, 1)
    leader, _, domain = flags(container)["--leader-address"].partition(".")
    assert leader == f"{group['metadata']['name']}-0"
    assert domain == group["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= group["spec"]["template"]["metadata"]["labels"].items()


def test_the_groups_port_is_the_one_that_is_named(container: dict[str, Any]) -> None:
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports["group"] == flags(container)["--group-port"]
    assert len({*ports.values(), flags(container)["--rendezvous-port"]}) == 4


def test_groups_do_not_select_each_others_pods(model: Any) -> None:
    one, other = (model_group.stateful_set(model, "image", replica, "nvidia")["spec"] for replica in (0, 1))
    assert one["selector"] == {"matchLabels": model_group.labels(model, 0)}
    assert not one["selector"]["matchLabels"].items() <= other["template"]["metadata"]["labels"].items()


def test_gateway_and_prometheus_find_leaders_alone(model: Any, group: dict[str, Any]) -> None:
    service = model_group.discovery(model)
    assert service["metadata"]["name"] == model_server.discovery(model)["metadata"]["name"]
    selector = dict(service["spec"]["selector"])
    assert selector.pop("apps.kubernetes.io/pod-index") == "0"
    assert selector.items() <= group["spec"]["template"]["metadata"]["labels"].items()


def test_the_gateway_knows_a_new_group_before_the_next_one_ends(model: Any, container: dict[str, Any]) -> None:
    assert model_group.discovery(model)["spec"]["publishNotReadyAddresses"] is True
    readiness = container["readinessProbe"]
    assert readiness["successThreshold"] * readiness["periodSeconds"] >= 10
    assert "successThreshold" not in container["startupProbe"]
    assert "successThreshold" not in container["livenessProbe"]


def test_the_group_may_take_as_long_to_meet_as_it_may_to_start(container: dict[str, Any], model: Any) -> None:
    assert flags(container)["--join-seconds"] == str(model.startup_seconds)
    assert container["args"][container["args"].index("--") + 1 :] == ["--seed=1"]


def test_a_replica_on_one_host_is_told_nothing_of_groups(settings: Any) -> None:
    assert "--nodes" not in str(model_server.deployment(settings.models[0], "image", "nvidia"))


def test_pods_of_a_group_get_infiniband_where_the_stack_says_by_what_name(model: Any) -> None:
    over_rdma = model.model_copy(update={"rdma_resource": "rdma/hca"})
    without, having = (model_group.container(m, "image", 0)["resources"] for m in (model, over_rdma))
    for kind in ("requests", "limits"):
        assert having[kind] == {**without[kind], "rdma/hca": "1"}, kind
    assert "rdma" not in str(without)
