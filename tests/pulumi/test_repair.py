"""The repair controller's pod, its rights and its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.repair import settings as read
from qwen_runtime.repair import table

from qwen_stack import config, policies
from qwen_stack.specs import network_policy, repair
from qwen_stack.specs.alerts import gpu_rules

from .recorded_stack import run_program

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def refused(values: dict[str, Any]) -> list[Any]:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(values)
    return caught.value.problems


def test_the_controller_reads_what_the_stack_writes(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "repair.json"
    file.write_text(repair.file(settings))
    given = read.read(file)
    assert given.prometheus == "http://prometheus.qwen.svc.cluster.local:9090"
    assert given.stale_s > settings.monitoring.scrape_seconds


def test_it_may_read_nodes_and_tell_of_them_and_write_nothing_else(settings: Any) -> None:
    rules = repair.role(settings)["rules"]
    written = {resource for rule in rules if WRITES & set(rule["verbs"]) for resource in rule["resources"]}
    assert written == {"events"}
    assert not any("*" in json.dumps(rule) for rule in rules)


def test_its_rights_are_of_this_stack_alone(settings: Any) -> None:
    binding = repair.binding(settings)
    assert binding["metadata"]["name"] == binding["roleRef"]["name"] == "qwen-repair"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "repair", "namespace": "qwen"}]


def test_a_stack_without_it_opens_nothing_for_it(local: dict[str, Any]) -> None:
    without = config.parse({key: value for key, value in local.items() if key != "repair"})
    policies = network_policy.policies(network_policy.flows(without))
    assert "repair" not in {policy["metadata"]["name"] for policy in policies}


def test_faults_that_expire_before_they_are_measured_are_refused(local: dict[str, Any]) -> None:
    values = {**local, "repair": {"expireSeconds": 60}, "monitoring": {"scrapeSeconds": 30}}
    [problem] = refused(values)
    assert problem.keys[0] == "repair.expireSeconds"
    assert "at least 120 s" in str(problem)


def test_each_xid_of_an_alert_stands_in_the_table() -> None:
    assert set(gpu_rules.NEEDS_RESET) | set(gpu_rules.BY_APPLICATION) <= table.OF_XID.keys()


@pytest.fixture
def acting(local: dict[str, Any]) -> Any:
    return config.parse({**local, "repair": {"mode": "act"}})


def test_a_controller_that_acts_may_patch_nodes_and_evict_and_test_and_nothing_more(acting: Any) -> None:
    rules = [*repair.role(acting)["rules"], *repair.own_role()["rules"]]
    written = {
        (resource, verb) for rule in rules for resource in rule["resources"] for verb in WRITES & set(rule["verbs"])
    }
    assert written == {
        ("events", "create"),
        ("nodes", "patch"),
        ("pods/eviction", "create"),
        ("pods", "create"),
        ("pods", "delete"),
    }
    assert {"create", "delete"} == {verb for rule in repair.own_role()["rules"] for verb in WRITES & set(rule["verbs"])}


def test_the_controller_reads_the_limits_that_the_stack_writes(acting: Any, tmp_path: Path) -> None:
    file = tmp_path / "repair.json"
    file.write_text(repair.file(acting))
    limits = read.read(file).acting
    assert limits is not None
    assert (limits.per_node_hour, limits.per_fleet_hour, limits.gpus) == (1, 2, 8)
    assert limits.test_s > acting.repair.test_seconds


def test_the_pod_of_the_test_keeps_the_rules_of_the_stacks_pods(acting: Any) -> None:
    pod = repair.test_pod(acting, 60)["spec"]
    template = {"metadata": {"labels": {}}, "spec": {key: pod[key] for key in pod if key != "priorityClassName"}}
    judged = policies.Rendered({"Deployment/test": {"spec": {"template": template}}}, acting.registry)
    kept = [
        policies.a_pod_shares_nothing_of_its_host,
        policies.a_container_has_no_rights_to_give_away,
        policies.an_image_is_the_sites_and_does_not_change,
        policies.a_pod_holds_a_token_only_for_an_account_of_its_own,
        policies.a_container_says_what_it_takes,
        policies.a_scratch_folder_has_a_size,
    ]
    assert not [str(problem) for rule in kept for problem in rule(judged)]
    assert pod["runtimeClassName"] == acting.gpu_runtime_class


def test_the_stack_that_acts_is_built_with_the_rights_in_its_namespace(local: dict[str, Any]) -> None:
    built = run_program({**local, "repair": {"mode": "act"}})
    assert {"Role/repair", "RoleBinding/repair"} <= built.keys()


def test_more_actions_at_one_host_than_at_all_are_refused(local: dict[str, Any]) -> None:
    [problem] = refused({**local, "repair": {"actionsPerHostHour": 3}})
    assert problem.keys == ("repair.actionsPerHostHour", "repair.actionsPerFleetHour")


def test_nobody_waits_for_a_token_that_kubernetes_does_not_make() -> None:
    assert repair.account()["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_a_quota_without_room_for_the_test_of_a_host_is_refused(local: dict[str, Any]) -> None:
    [problem] = refused({**local, "repair": {"mode": "act"}, "gpuQuota": 10})
    assert problem.keys == ("gpuQuota", "repair.mode")
    config.parse({**local, "repair": {"mode": "act"}, "gpuQuota": 11})
    config.parse({**local, "gpuQuota": 10})
