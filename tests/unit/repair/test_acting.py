"""Repairs keep their order and their limits, and their state is what nodes and pods are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.prometheus_api import XID

from .faulty_site import NAMESPACE, Site

DRAIN, RESET, RESTART = 79, 95, 13


@pytest.fixture
def acting(site: Site) -> Site:
    site.act()
    return site


def broken(site: Site, xid: int = RESET, node: str = "gpu1") -> None:
    site.prometheus.saw(XID, (300, 0), (20, xid), (1, xid), node=node)


def in_repair(site: Site) -> Site:
    """The site after its host was drained because of a fault."""
    broken(site)
    site.engine("engine-1")
    site.passes(2)
    site.ends("engine-1")
    site.passes()
    return site


def test_a_host_leaves_service_before_its_pods_are_asked_to_end(acting: Site) -> None:
    broken(acting)
    acting.engine("engine-1")
    acting.passes()
    assert acting.tainted("gpu1")
    assert not acting.asked("POST", "/eviction")
    acting.passes()
    assert acting.asked("POST", "/eviction") == [f"/api/v1/namespaces/{NAMESPACE}/pods/engine-1/eviction"]
    assert acting.step("gpu1") == "draining"


def test_a_host_comes_back_only_after_a_loaded_test_on_all_its_gpus(acting: Site) -> None:
    in_repair(acting)
    assert acting.step("gpu1") == "drained"
    acting.repaired("gpu1")
    acting.passes()
    [test] = acting.tests()
    assert test["spec"]["nodeName"] == "gpu1"
    assert test["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
    acting.passes()
    assert (acting.step("gpu1"), acting.tainted("gpu1")) == ("testing", True)
    test["status"] = {"phase": "Succeeded"}
    acting.passes()
    assert not acting.tainted("gpu1")
    assert acting.tests() == []
    acting.passes()
    assert acting.step("gpu1") == "in-service"


def test_a_new_boot_is_a_repair_and_is_tested_too(acting: Site) -> None:
    in_repair(acting)
    acting.node("gpu1")["status"]["nodeInfo"]["bootID"] = "second-boot"
    acting.passes()
    assert len(acting.tests()) == 1


def test_a_host_that_came_back_with_fewer_gpus_is_not_tested(acting: Site) -> None:
    in_repair(acting)
    acting.repaired("gpu1")
    acting.node("gpu1")["status"]["allocatable"]["nvidia.com/gpu"] = "7"
    acting.passes()
    assert acting.tests() == []
    assert acting.step("gpu1") == "drained"


def test_a_failed_test_is_a_failure_and_stays_one_until_a_person_removes_it(acting: Site) -> None:
    in_repair(acting)
    acting.repaired("gpu1")
    acting.passes()
    acting.tests()[0]["status"] = {"phase": "Failed"}
    acting.passes(3)
    assert (acting.step("gpu1"), acting.tainted("gpu1"), len(acting.tests())) == ("failed", True, 1)


@pytest.mark.parametrize("part", ["drain", "test"])
def test_what_takes_too_long_has_failed_and_is_not_running(acting: Site, part: str) -> None:
    if part == "test":
        in_repair(acting)
        acting.repaired("gpu1")
    else:
        broken(acting)
        acting.engine("engine-1")
        acting.protect("engine-1")
    acting.passes(2)
    acting.prometheus.now_s += 1000
    acting.passes()
    assert acting.step("gpu1") == "failed"
    before = len(acting.api.asked)
    acting.passes(3)
    assert len(acting.api.asked) == before


def test_a_restarted_controller_goes_on_from_what_it_finds(acting: Site) -> None:
    in_repair(acting)
    acting.act()
    acting.passes()
    assert acting.step("gpu1") == "drained"
    assert acting.tainted("gpu1")


def test_a_restarted_controller_acts_on_nothing_that_was_repaired(acting: Site) -> None:
    in_repair(acting)
    acting.repaired("gpu1")
    acting.passes()
    acting.tests()[0]["status"] = {"phase": "Succeeded"}
    acting.passes()
    acting.act()
    acting.passes(3)
    assert not acting.tainted("gpu1")


def test_a_person_who_takes_the_taint_away_ends_the_repair(acting: Site) -> None:
    in_repair(acting)
    acting.node("gpu1")["spec"]["taints"] = []
    acting.passes(3)
    assert not acting.tainted("gpu1")
    assert json.loads(acting.node("gpu1")["metadata"]["annotations"]["qwen-onprem/repair"])["begun"] is None


def test_nothing_of_others_is_changed(acting: Site) -> None:
    node = acting.node("gpu1")
    node["metadata"]["annotations"] = {"theirs": "kept"}
    node["spec"]["taints"] = [{"key": "their/taint", "effect": "NoSchedule"}]
    before = {**node["metadata"]["labels"]}
    in_repair(acting)
    changed = acting.node("gpu1")
    assert changed["metadata"]["annotations"].keys() == {"theirs", "qwen-onprem/repair"}
    assert [taint["key"] for taint in changed["spec"]["taints"]] == ["their/taint", "qwen-onprem/repair"]
    assert changed["metadata"]["labels"] == before
    assert "unschedulable" not in changed["spec"]
    acting.node("gpu1")["spec"]["taints"].pop()
    acting.passes(2)
    assert [taint["key"] for taint in acting.node("gpu1")["spec"]["taints"]] == ["their/taint"]


def test_a_node_that_changed_meanwhile_is_looked_at_again(acting: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(acting)
    refused: list[Any] = []
    patched = acting.api._patched

    def late(path: str, operations: list[dict[str, Any]]) -> tuple[int, Any]:
        if not refused:
            acting.node("gpu1")["metadata"]["resourceVersion"] = "77"
            refused.append(path)
        return patched(path, operations)

    monkeypatch.setattr(acting.api, "_patched", late)
    acting.passes()
    assert not acting.tainted("gpu1")
    acting.passes()
    assert acting.tainted("gpu1")


def test_a_host_has_its_number_of_actions_in_an_hour(acting: Site) -> None:
    acting.engine("engine-1")
    for _ in range(3):
        broken(acting, RESTART)
        acting.passes(2)
        acting.node_pod("engine-1")["metadata"].pop("deletionTimestamp", None)
        acting.prometheus.now_s += 60
    assert len(acting.asked("POST", "/eviction")) == 1
    acting.prometheus.now_s += 3600
    broken(acting, RESTART)
    acting.passes()
    assert len(acting.asked("POST", "/eviction")) == 2


def test_all_hosts_together_have_their_number_of_actions_in_an_hour(acting: Site) -> None:
    for name in ("gpu2", "gpu3", "gpu4"):
        acting.host(name)
    for name in ("gpu1", "gpu2", "gpu3", "gpu4"):
        broken(acting, DRAIN, name)
    acting.passes(3)
    assert sum(acting.tainted(name) for name in ("gpu1", "gpu2", "gpu3", "gpu4")) == 2


def test_the_switch_stops_all_and_whoever_may_not_look_does_not_act(acting: Site) -> None:
    broken(acting)
    acting.api.put(f"/api/v1/namespaces/{NAMESPACE}/configmaps/repair-stop")
    acting.passes(3)
    assert {method for method, path, _ in acting.api.asked if not path.endswith("/events")} == set()
    del acting.api.objects[f"/api/v1/namespaces/{NAMESPACE}/configmaps/repair-stop"]
    acting.passes()
    assert acting.tainted("gpu1")


def test_the_switch_stops_a_repair_in_its_course(acting: Site) -> None:
    broken(acting)
    acting.engine("engine-1")
    acting.passes()
    acting.api.put(f"/api/v1/namespaces/{NAMESPACE}/configmaps/repair-stop")
    acting.passes(3)
    assert acting.asked("POST", "/eviction") == []


@pytest.mark.parametrize("state", ["cordoned", "not ready"])
def test_a_host_at_which_somebody_works_is_left_alone(acting: Site, state: str) -> None:
    if state == "cordoned":
        acting.node("gpu1")["spec"]["unschedulable"] = True
    else:
        acting.node("gpu1")["status"]["conditions"][0]["status"] = "Unknown"
    broken(acting)
    acting.passes(2)
    assert not acting.tainted("gpu1")
    assert "somebody is at work" in acting.controller.figures.held["gpu1"]


def test_a_pod_is_restarted_only_if_it_is_known_whose_gpu_it_is(acting: Site) -> None:
    acting.engine("engine-1")
    acting.engine("engine-2")
    broken(acting, RESTART)
    acting.passes(2)
    assert acting.asked("POST", "/eviction") == []
    assert "2 pods hold GPUs" in acting.controller.figures.held["gpu1"]


def test_clocks_that_are_apart_begin_nothing(acting: Site) -> None:
    broken(acting)
    acting.skew_s = 45
    acting.passes(2)
    assert not acting.tainted("gpu1")
    assert acting.controller.figures.failures == 2


def test_a_foreign_text_in_the_annotation_is_a_failure_and_nothing_is_done(acting: Site) -> None:
    acting.node("gpu1")["metadata"]["annotations"] = {"qwen-onprem/repair": "{}"}
    broken(acting)
    acting.passes(2)
    assert acting.step("gpu1") == "failed"
    assert not acting.tainted("gpu1")
