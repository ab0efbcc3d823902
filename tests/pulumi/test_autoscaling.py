"""The keys of autoscaling: what they lead to, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import autoscaling, model_server, network_policy

from .planned_stacks import Values, with_entry

ADDRESS = "http://prometheus.qwen.svc.cluster.local:9090"


def scaled(local: Values, bounds: dict[str, Any], **changes: Any) -> Values:
    """The stack with up to eight replicas of its first entry, whose single replica may be changed in place."""
    return with_entry(local, autoscaling=bounds, **{"spareReplicas": 0, "acceptOutage": True, **changes})


def first(values: Values) -> Any:
    return config.parse(values).models[0]


@pytest.mark.parametrize(
    ("bounds", "changes", "keys"),
    [
        ({"min": 3, "max": 2}, {}, {"autoscaling.min", "autoscaling.max"}),
        ({"max": 9}, {}, {"autoscaling.max", "replicas"}),
        ({"max": 8}, {"spareReplicas": 1}, {"autoscaling.max", "replicas"}),
        ({"min": 0}, {}, {"autoscaling.min"}),
        ({"target": 0}, {}, {"autoscaling.target"}),
        ({"minimum": 1}, {}, {"autoscaling.minimum"}),
        ({}, {"startupSeconds": 3601}, {"autoscaling", "startupSeconds"}),
        ({}, {"acceptOutage": False}, {"rollout", "acceptOutage"}),
    ],
)
def test_bounds_that_cannot_hold_are_refused_by_their_keys(
    local: Values, bounds: dict[str, Any], changes: dict[str, Any], keys: set[str]
) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(scaled(local, bounds, **changes))
    assert {f"models[0].{key}" for key in keys} <= {key for p in caught.value.problems for key in p.keys}


def test_without_a_plan_nobody_knows_how_many_replicas_have_gpus(local: Values) -> None:
    values = {**local, "models": [local["models"][0], {**local["models"][1], "autoscaling": {"max": 1, "target": 4}}]}
    with pytest.raises(config.ConfigError) as caught:
        config.parse(values)
    assert [problem.keys for problem in caught.value.problems] == [("models[1].autoscaling", "models[1].plan")]


@pytest.fixture
def groups(local: Values) -> Any:
    """A model of up to four groups of two pods, of which one always runs."""
    model = first(scaled(local, {"min": 1, "max": 4, "target": 6}))
    return model.model_copy(update={"nodes_per_replica": 2, "gpus_per_replica": 2})


@pytest.mark.parametrize(("demand", "cache"), [(0, 0.1), (6, 0.1), (7, 0.2), (13, 0.8), (40, 0.9), (5, 0.86), (3, 2.6)])
def test_as_many_whole_groups_are_wanted_as_replicas_would_be(groups: Any, demand: float, cache: float) -> None:
    specs = [autoscaling.scaled_group(groups, replica, ADDRESS)["spec"] for replica in range(1, 4)]
    values = {"demand": demand, "kv-cache": cache}
    running = 1 + sum(
        any(values[trigger["name"]] > float(trigger["metadata"]["activationThreshold"]) for trigger in spec["triggers"])
        for spec in specs
    )
    assert running == min(4, max(1, math.ceil(demand / 6), math.ceil(cache / 0.85)))


def test_a_group_has_all_of_its_pods_or_none_and_ends_after_the_longest_start(groups: Any) -> None:
    spec = autoscaling.scaled_group(groups, 3, ADDRESS)["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "model-server-3"}
    assert [spec[f"{bound}ReplicaCount"] for bound in ("idle", "min", "max")] == [0, 2, 2]
    assert spec["cooldownPeriod"] == spec["initialCooldownPeriod"] == groups.startup_seconds
    assert "fallback" not in spec, "KEDA counts a fallback as load, and would start a group because it sees nothing"
    assert {trigger["metadata"]["ignoreNullValues"] for trigger in spec["triggers"]} == {"false"}


def test_what_the_stack_leaves_out_is_what_was_planned(local: Values, example: Values) -> None:
    bounds = first(scaled(local, {})).autoscaling
    assert (bounds.min, bounds.max) == (1, 8)
    assert first(with_entry(example, autoscaling={"min": 2})).autoscaling.target == 8


def test_a_fixed_number_is_the_stacks_own_even_where_an_autoscaler_counted_before(local: Values) -> None:
    fixed, followed = (
        model_server.deployment(first(values), "image", "nvidia") for values in (local, scaled(local, {"min": 2}))
    )
    assert [found["spec"]["replicas"] for found in (fixed, followed)] == [2, 2]
    forced = [found["metadata"].get("annotations", {}).get("pulumi.com/patchForce") for found in (fixed, followed)]
    assert forced == ["true", None]


def test_keda_is_asked_for_the_planned_bounds_and_for_replicas_of_the_planned_load(local: Values) -> None:
    spec = autoscaling.scaled_object(first(scaled(local, {"min": 2, "max": 5, "target": 24})), ADDRESS)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 5)
    demand, cache = (trigger["metadata"] for trigger in spec["triggers"])
    assert demand["query"] == 'serving:demand:requests{server="model-server"}'
    assert (demand["threshold"], demand["serverAddress"]) == ("24", ADDRESS)
    assert 0.5 < float(cache["threshold"]) < 1


def test_prometheus_answers_keda_and_no_other_stranger(local: Values) -> None:
    closed = {**local, "monitoring": {}, "repair": None}
    rules = {
        name: [
            rule["from"]
            for policy in network_policy.policies(network_policy.flows(config.parse(values)))
            if policy["metadata"]["name"] == "prometheus"
            for rule in policy["spec"].get("ingress", [])
        ]
        for name, values in (("fixed", closed), ("followed", scaled(closed, {})))
    }
    keda = {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}
    assert rules == {"fixed": [], "followed": [[{"namespaceSelector": keda, "podSelector": {"matchLabels": {}}}]]}


def test_a_gateway_learns_of_a_new_replica_before_the_only_old_one_ends(local: Values) -> None:
    followed = first(scaled(local, {"min": 1}, spareReplicas=1))
    assert model_server.settling_seconds(followed) == model_server.LEARN_S


def test_requests_that_wait_at_the_limiter_may_not_hide_the_need_of_a_replica(local: Values) -> None:
    served = local["models"][0]["name"]
    for each, refused in ((4, True), (5, False)):
        values = scaled(local, {"target": 4})
        values["gateway"] = {**values["gateway"], "limits": {"requestsPerReplica": {served: each}}}
        if not refused:
            config.parse(values)
            continue
        with pytest.raises(config.ConfigError) as caught:
            config.parse(values)
        [problem] = caught.value.problems
        assert problem.keys == (f"gateway.limits.requestsPerReplica.{served}", "models[0].autoscaling.target")
