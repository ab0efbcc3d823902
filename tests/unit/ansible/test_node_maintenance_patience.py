"""A drain waits as long as its pods take to start elsewhere."""

from __future__ import annotations

from ansible_collections.qwen_onprem.hosts.plugins.filter.node_maintenance_patience import drain_timeout_s

FLAGSHIP = "310 65x30 x"  # ends within 310 s, is given 1,950 s to start; the second container has no startup probe
QUICK = "30 x"


def test_a_node_waits_for_its_own_model_server_and_for_the_one_before() -> None:
    pods = [f"dgx1 {FLAGSHIP}", f"dgx2 {FLAGSHIP}", f"control1 {QUICK}"]
    assert drain_timeout_s(pods, "dgx1", 900) == 2 * (310 + 1950)


def test_a_node_without_one_waits_for_the_one_before() -> None:
    assert drain_timeout_s([f"dgx1 {FLAGSHIP}", f"control1 {QUICK}"], "control1", 900) == 310 + 1950


def test_a_pod_that_has_no_node_yet_counts_as_the_one_before() -> None:
    assert drain_timeout_s([f" {FLAGSHIP}"], "dgx1", 900) == 310 + 1950


def test_quick_pods_have_the_least_time() -> None:
    assert drain_timeout_s([f"dgx1 {QUICK}"], "dgx1", 900) == 900
    assert drain_timeout_s([], "dgx1", 900) == 900
