"""Refusals of the role kubernetes; the role itself runs on this machine and installs or reaches nothing.

Each case is a host of a made-up inventory, so that one run of a task file answers for all cases.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .kubernetes_hosts import NODE, WORKER, refused, seen

CONTROL_PLANES = {
    "one": ["cp1"],
    "three": ["cp1", "cp2", "cp3"],
    "none": [],
    "two": ["cp1", "cp2"],
    "twice": ["cp1", "cp2", "cp2"],
    "unknown": ["cp1", "cp2", "nowhere"],
}


def test_a_control_plane_that_stops_with_one_host_is_refused(tmp_path: Path) -> None:
    cases = {name: {"kubernetes_control_plane_hosts": hosts} for name, hosts in CONTROL_PLANES.items()}
    messages = refused(tmp_path, "refuse_control_plane", cases)
    assert set(messages) == {"none", "two", "twice", "unknown"}
    assert "Found 2 control-plane hosts (cp1, cp2); needed one or three different hosts" in messages["two"]


# Running versions, and the wanted one.
TAKEN = {
    "same": (["1.34.4", "1.34.4"], "1.34.4"),
    "patch": (["1.34.3", "1.34.3"], "1.34.4"),
    "two digits": (["1.34.9", "1.34.10"], "1.34.10"),
    "minor": (["1.34.4", "1.34.4"], "1.35.0"),
    "half done": (["1.35.0", "1.34.4"], "1.35.0"),
}
DOWNGRADES = {
    "patch back": (["1.34.4"], "1.34.3"),
    "two digits back": (["1.34.10"], "1.34.9"),
    "back after half": (["1.35.0", "1.34.4"], "1.34.4"),
}
SKIPS = {
    "skipped minor": (["1.34.4"], "1.36.1"),
    "skipped for one node": (["1.36.1", "1.34.4"], "1.36.1"),
    "major": (["1.34.4"], "2.0.0"),
}


@pytest.fixture(scope="module")
def upgrades(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cases = {
        name: {"__kubernetes_running": running, "kubernetes_version": wanted}
        for name, (running, wanted) in (TAKEN | DOWNGRADES | SKIPS).items()
    }
    return refused(tmp_path_factory.mktemp("upgrades"), "refuse_upgrade", cases)


@pytest.mark.parametrize("case", TAKEN)
def test_an_upgrade_by_a_patch_or_one_minor_is_taken(upgrades: dict[str, str], case: str) -> None:
    assert case not in upgrades


@pytest.mark.parametrize("case", DOWNGRADES)
def test_a_downgrade_is_refused(upgrades: dict[str, str], case: str) -> None:
    assert "A downgrade is not possible" in upgrades[case]


@pytest.mark.parametrize("case", SKIPS)
def test_a_skipped_minor_is_refused_with_the_next_one(upgrades: dict[str, str], case: str) -> None:
    assert "Set kubernetes_version to 1.35.x first" in upgrades[case]


def test_a_reset_without_the_clusters_name_is_refused(tmp_path: Path) -> None:
    cases = {given: {"kubernetes_reset_confirm": given.strip("-")} for given in ("-", "yes", "another")}
    messages = refused(tmp_path, "remove", cases)
    assert set(messages) == set(cases)
    assert "kubernetes_reset_confirm=qwen-onprem" in messages["yes"]


HALF_MADE = NODE | {"unfinished-by-kubernetes-role": "u"}
FIT = {
    "new worker": seen({}, cp1=NODE, cp2=NODE, cp3=NODE),
    "new worker while the first is off": seen({}, cp1=None, cp2=NODE, cp3=NODE),
    "worker while the first is new": seen(WORKER, cp1={}, cp2=NODE, cp3=NODE),
    "first that is new": seen({}, cp1={}, cp2=NODE, cp3=NODE),
    "half-made worker": seen(WORKER | {"unfinished-by-kubernetes-role": "u"}, cp1=NODE),
}
MISFITS = {
    "worker without a cluster": seen({}, cp1={}, cp2={}, cp3={}),
    "worker and nobody answers": seen({}, cp1=None),
    "worker while the first is half-made": seen({}, cp1=HALF_MADE),
    "cp2": seen({}, cp1={}, cp2={}, cp3={}),
    "cp3": seen({}, cp3={}, cp1=None, cp2=None),
    "of another cluster": seen(WORKER | {"pki/ca.crt": "theirs"}, cp1=NODE),
    "of the control plane": seen(NODE, cp1=NODE),
}


@pytest.fixture(scope="module")
def hosts_in_limited_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One run for all these hosts; a host of the control plane is in it only as a case."""
    return refused(tmp_path_factory.mktemp("limited"), "refuse_host", FIT | MISFITS)


@pytest.mark.parametrize("case", FIT)
def test_a_host_finds_the_cluster_on_any_host_that_runs_it(hosts_in_limited_runs: dict[str, str], case: str) -> None:
    assert case not in hosts_in_limited_runs


@pytest.mark.parametrize("case", MISFITS)
def test_a_host_without_its_cluster_is_refused(hosts_in_limited_runs: dict[str, str], case: str) -> None:
    assert "Found" in hosts_in_limited_runs[case]


def test_a_cluster_is_not_formed_while_one_may_stand_on_a_silent_host(hosts_in_limited_runs: dict[str, str]) -> None:
    assert "no answer from cp1, cp2; needed an answer from every host" in hosts_in_limited_runs["cp3"]
