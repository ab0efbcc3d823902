"""The keys of autoscaling: what they lead to, and what is refused."""

from __future__ import annotations

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


def test_groups_of_pods_are_not_counted_one_by_one(example: Values) -> None:
    model = config.parse(with_entry(example, autoscaling={"min": 2})).models[0]
    group = model.model_copy(update={"nodes_per_replica": 2})
    found = [problem.keys for rule in config.rules.model_rules.RULES for problem in rule(group)]
    assert ("autoscaling", "nodesPerReplica") in found


def test_what_the_stack_leaves_out_is_what_was_planned(local: Values, example: Values) -> None:
    bounds = first(scaled(local, {})).autoscaling
    assert (bounds.min, bounds.max) == (1, 8)
    assert first(with_entry(example, autoscaling={"min": 2})).autoscaling.target == 8


def test_the_number_of_replicas_is_the_autoscalers_alone(local: Values) -> None:
    fixed, followed = (
        model_server.deployment(first(values), "image", "nvidia")["spec"] for values in (local, scaled(local, {}))
    )
    assert fixed["replicas"] == 2
    assert "replicas" not in followed, "a change of the image would set it back"


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
