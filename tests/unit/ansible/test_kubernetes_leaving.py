"""Refusals of remove_host.yml; the role kubernetes runs on this machine and reaches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .kubernetes_hosts import NODE, WORKER, refused, seen

# A host to remove from the cluster of cp1 and dgx1: its own answers, and what the cluster says about it.
ANSWERS: dict[str, Any] = {"elapsed": 0}
SILENT = {"msg": "timed out waiting for ping module test: No route to host"}


def leaving(answer: dict[str, Any], ready: str, own: dict[str, str], **changed: Any) -> dict[str, Any]:
    nodes = ["cp1 Ready=True", *([f"dgx1 Ready={ready}"] if ready else [])]
    return {
        **seen(own, cp1=NODE),
        "kubernetes_speaker": "cp1",
        "kubernetes_node_name": "dgx1",
        "kubernetes_node_ip": "10.20.0.21",
        "kubernetes_api_endpoint": "10.20.0.10:8443",
        "__kubernetes_answer": answer,
        "__kubernetes_nodes": {"rc": 0, "stdout_lines": nodes},
        **changed,
    }


LEAVE = {
    "well": leaving(ANSWERS, "True", WORKER),
    "kubelet is ill": leaving(ANSWERS, "Unknown", WORKER),
    "half undone": leaving(ANSWERS, "Unknown", {}),
    "lost": leaving(SILENT, "Unknown", {}, kubernetes_host_lost="true"),
}
STAY = {
    "not in the cluster": (leaving(ANSWERS, "", {}), "Found no node dgx1 in the cluster, which has cp1"),
    "of another cluster": (leaving(ANSWERS, "True", WORKER | {"pki/ca.crt": "theirs"}), "whose authority is theirs"),
    "silent": (leaving(SILENT, "Unknown", {}), "(timed out waiting for ping module test: No route to host)"),
    "called lost and there": (leaving(ANSWERS, "True", WORKER, kubernetes_host_lost=True), "answering"),
    "called lost and runs pods": (leaving(SILENT, "True", {}, kubernetes_host_lost=True), "its kubelet reporting"),
    "the endpoint": (
        leaving(ANSWERS, "True", NODE, kubernetes_api_endpoint="10.20.0.21:6443"),
        "an address that stays",
    ),
    "no API": (
        leaving(ANSWERS, "True", NODE, __kubernetes_nodes={"rc": 1, "stderr": "timeout"}),
        "no answer from the API within 120 s (timeout)",
    ),
}


@pytest.fixture(scope="module")
def leaving_hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cases = LEAVE | {name: variables for name, (variables, _) in STAY.items()}
    return refused(tmp_path_factory.mktemp("leaving"), "refuse_leaving", cases)


@pytest.mark.parametrize("case", LEAVE)
def test_a_host_may_leave(leaving_hosts: dict[str, str], case: str) -> None:
    assert case not in leaving_hosts


@pytest.mark.parametrize("case", STAY)
def test_a_host_that_cannot_leave_is_told_why(leaving_hosts: dict[str, str], case: str) -> None:
    assert STAY[case][1] in leaving_hosts[case]


def member(number: int) -> str:
    peer = f"https://10.0.0.{number}"
    return f"8e9e05c5216469{number}d, started, cp{number}, {peer}:2380, {peer}:2379, false"


UNSTARTED = "91bc3c398fb3c146, unstarted, , https://10.0.0.3:2380, , true"
# Members of etcd, the healthy ones among them, and the member to remove.
MAJORITIES = {
    "one of three": ([member(1), member(2), member(3)], [1, 2, 3], 3),
    "the lost one of three": ([member(1), member(2), member(3)], [1, 2], 3),
    "one of two": ([member(1), member(2)], [1, 2], 2),
    "one that never started": ([member(1), member(2), UNSTARTED], [1, 2], 3),
    "one that has left": ([member(1), member(2)], [1, 2], 3),
}
MINORITIES = {
    "a good one beside a lost one": ([member(1), member(2), member(3)], [1, 2], 2),
    "one of two beside a lost one": ([member(1), member(2)], [2], 2),
}


def test_etcd_is_left_with_a_majority(tmp_path: Path) -> None:
    cases = {
        name: {
            "kubernetes_node_ip": f"10.0.0.{leaves}",
            "__kubernetes_members": {"stdout_lines": members},
            "__kubernetes_health": {
                "stdout": "\n".join(f"https://10.0.0.{n}:2379 is healthy: took = 3ms" for n in well)
            },
        }
        for name, (members, well, leaves) in (MAJORITIES | MINORITIES).items()
    }
    messages = refused(tmp_path, "refuse_leaving_etcd", cases)
    assert set(messages) == set(MINORITIES)
    assert "left with, of which these do not answer: https://10.0.0.3:2380;" in messages["a good one beside a lost one"]
