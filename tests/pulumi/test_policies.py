"""Each rule about objects passes the stacks of this tree, and refuses an object that breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from qwen_stack import policies
from qwen_stack.components.judged import PolicyError
from qwen_stack.specs import namespace, network_policy

from .planned_stacks import Values
from .recorded_stack import Objects, run_program

REGISTRY = "mirror.lab.internal:5000"
Bodies = dict[str, Any]
Change = Callable[[Bodies], None]


def bodies(stack: Objects) -> Bodies:
    return {name: copy.deepcopy(args.inputs) for name, args in stack.items()}


@pytest.fixture
def rendered(local: Values) -> Bodies:
    return bodies(run_program(local))


def broken(objects: Bodies) -> dict[str, list[str]]:
    """Rules that the objects break, each with the objects that it names."""
    stack = policies.Rendered(objects, REGISTRY)
    found = {rule.__name__: [key for problem in rule(stack) for key in problem.keys] for rule in policies.RULES}
    return {name: keys for name, keys in found.items() if keys}


def pod(objects: Bodies) -> Any:
    return objects["Deployment/gateway"]["spec"]["template"]["spec"]


def container(objects: Bodies) -> Any:
    return pod(objects)["containers"][0]


def host_path(objects: Bodies) -> None:
    pod(objects)["volumes"].append({"name": "host", "hostPath": {"path": "/etc"}})


def host_network(objects: Bodies) -> None:
    pod(objects)["hostNetwork"] = True


def host_port(objects: Bodies) -> None:
    container(objects)["ports"][0]["hostPort"] = 80


def privileged(objects: Bodies) -> None:
    container(objects)["securityContext"]["privileged"] = True


def capability(objects: Bodies) -> None:
    container(objects)["securityContext"]["capabilities"] = {"drop": ["ALL"], "add": ["NET_ADMIN"]}


def no_seccomp(objects: Bodies) -> None:
    del pod(objects)["securityContext"]["seccompProfile"]


def writable_root(objects: Bodies) -> None:
    container(objects)["securityContext"]["readOnlyRootFilesystem"] = False


def foreign_image(objects: Bodies) -> None:
    container(objects)["image"] = "docker.io/library/busybox:1.36"


def moving_image(objects: Bodies) -> None:
    container(objects)["image"] = f"{REGISTRY}/envoy:latest"


def token(objects: Bodies) -> None:
    del pod(objects)["automountServiceAccountToken"]


def no_memory_limit(objects: Bodies) -> None:
    del container(objects)["resources"]["limits"]


def no_request(objects: Bodies) -> None:
    del container(objects)["resources"]["requests"]["cpu"]


def endless_scratch(objects: Bodies) -> None:
    pod(objects)["volumes"].append({"name": "scratch", "emptyDir": {}})


def unknown_priority(objects: Bodies) -> None:
    pod(objects)["priorityClassName"] = "high"


def no_probe(objects: Bodies) -> None:
    del container(objects)["readinessProbe"]


def no_budget(objects: Bodies) -> None:
    del objects["PodDisruptionBudget/gateway"]


def unnamed_pods(objects: Bodies) -> None:
    del objects["NetworkPolicy/gateway"]


def open_by_default(objects: Bodies) -> None:
    del objects[f"NetworkPolicy/{network_policy.DEFAULT_NAME}"]


def service_to_nowhere(objects: Bodies) -> None:
    objects["Service/gateway"]["spec"]["selector"] = {"app.kubernetes.io/name": "gatewy"}


def uncounted_port(objects: Bodies) -> None:
    objects["Service/dcgm-exporter"]["spec"] |= {"type": "NodePort"}


FAULTS: dict[Change, tuple[str, str]] = {
    host_path: ("a_pod_shares_nothing_of_its_host", "Deployment/gateway"),
    host_network: ("a_pod_shares_nothing_of_its_host", "Deployment/gateway"),
    host_port: ("a_pod_shares_nothing_of_its_host", "Deployment/gateway"),
    privileged: ("a_container_has_no_rights_to_give_away", "Deployment/gateway gateway"),
    capability: ("a_container_has_no_rights_to_give_away", "Deployment/gateway gateway"),
    no_seccomp: ("a_container_has_no_rights_to_give_away", "Deployment/gateway gateway"),
    writable_root: ("a_container_has_no_rights_to_give_away", "Deployment/gateway gateway"),
    foreign_image: ("an_image_is_the_sites_and_does_not_change", "Deployment/gateway gateway"),
    moving_image: ("an_image_is_the_sites_and_does_not_change", "Deployment/gateway gateway"),
    token: ("a_pod_holds_a_token_only_for_an_account_of_its_own", "Deployment/gateway"),
    no_memory_limit: ("a_container_says_what_it_takes", "Deployment/gateway gateway"),
    no_request: ("a_container_says_what_it_takes", "Deployment/gateway gateway"),
    endless_scratch: ("a_scratch_folder_has_a_size", "Deployment/gateway"),
    unknown_priority: ("a_pod_has_a_priority", "Deployment/gateway"),
    no_probe: ("a_container_that_listens_is_asked_whether_it_is_ready", "Deployment/gateway gateway"),
    no_budget: ("replicas_leave_one_at_a_time", "Deployment/gateway"),
    unnamed_pods: ("a_pod_is_closed_but_for_what_is_named", "Deployment/gateway"),
    open_by_default: ("a_pod_is_closed_but_for_what_is_named", "NetworkPolicy"),
    service_to_nowhere: ("a_service_leads_to_pods", "Service/gateway"),
    uncounted_port: ("ports_on_every_host_are_those_of_the_quota", "ResourceQuota"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_object_that_breaks_a_rule_is_named(rendered: Bodies, fault: Change) -> None:
    assert broken(rendered) == {}
    fault(rendered)
    rule, names = FAULTS[fault]
    assert broken(rendered) == {rule: [names]}


def test_every_rule_is_seen_to_refuse_something() -> None:
    elsewhere = {"an_image_is_on_the_signed_list"}  # test_admission.py has a site with a list
    assert {rule for rule, _ in FAULTS.values()} | elsewhere == {rule.__name__ for rule in policies.RULES}


def test_the_example_and_groups_keep_every_rule(local: Values, example: Values) -> None:
    entry = {key: value for key, value in local["models"][0].items() if key not in ("plan", "spareReplicas")}
    entry |= {"gpusPerReplica": 2, "nodesPerReplica": 2, "maxModelLen": 2048, "replicas": 2}
    groups = {**local, "models": [{**entry, "extraArgs": ["--tensor-parallel-size=2"]}]}
    for values in (example, groups):
        run_program(values)


def test_a_preview_of_a_stack_that_breaks_a_rule_fails(local: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = namespace.quota
    monkeypatch.setattr(namespace, "quota", lambda settings: _without_ports(limits(settings)))
    with pytest.raises(PolicyError, match="0 node ports, and services that open 3"):
        run_program(local)


def _without_ports(quota: Any) -> Any:
    quota["spec"]["hard"]["services.nodeports"] = "0"
    return quota
