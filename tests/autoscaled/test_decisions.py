"""Decisions of the real KEDA and the real autoscaler on the objects that the stack writes, without a lab.

Deployments and sets get their numbers, and their pods stay Pending. A short start stands for the longest one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qwen_stack.specs import autoscaling, model_group, model_server
from qwen_stack.specs.alerts.scaling_rules import demand, pressure
from tests.support.control_plane import LOOK_S, Plane, absent, control_plane
from tests.support.stacks import lab_model
from tests.support.waiting import wait_until

DEPLOYMENT, SERVER = "deployment/model-server", "model-server"
DEMAND, PRESSURE = demand(SERVER), pressure(SERVER)
TARGET, MOST, START_S, PODS = 10, 5, 10, 2
HELD_S = (autoscaling.FAILURES + 4) * LOOK_S + START_S
"""Longer than KEDA's failures in a row, the autoscaler's memory and another look of it."""
NO_WORK: dict[str, float | None] = {DEMAND: 0, PRESSURE: 0}


def work(replicas: float) -> dict[str, float | None]:
    """Values that ask for so many replicas."""
    return {DEMAND: replicas * TARGET, PRESSURE: 0.1}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    if missing := absent():
        pytest.skip(f"{', '.join(missing)} are not built: `make autoscaling` builds them")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Any:
    return lab_model({"min": 1, "max": MOST, "target": TARGET}, startupSeconds=START_S)


@pytest.fixture
def followed(plane: Plane, model: Any) -> Iterator[Any]:
    """The Deployment with two replicas from before, and work for two."""
    plane.values = work(2)
    fixed = lab_model({"min": 2, "max": MOST, "target": TARGET}).model_copy(update={"autoscaling": None, "replicas": 2})
    before = model_server.deployment(fixed, "image", "nvidia")
    plane.apply(before, manager="pulumi")
    # An autoscaler divides by the pods that there are.
    there_are = ("get", DEPLOYMENT, "-o=jsonpath={.status.replicas}")
    wait_until(lambda: plane.kubectl(*there_are) == "2", "two pods")
    plane.apply(autoscaling.scaled_object(model, plane.prometheus))
    wait_until(lambda: SERVER in plane.kubectl("get", "hpa", "-o", "name"), "an autoscaler by KEDA")
    plane.kubectl("wait", f"hpa/{SERVER}", "--for=condition=ScalingActive", "--timeout=60s")
    yield before
    plane.kubectl("delete", f"scaledobject/{SERVER}", DEPLOYMENT)
    wait_until(lambda: SERVER not in plane.kubectl("get", "hpa", "-o", "name"), "the end of the autoscaler")
    # What has ended in one test forbids another end for SCALE_IN_PERIOD_S, until the look that misses the autoscaler.
    time.sleep(2 * LOOK_S)


def stays(plane: Plane, what: str, number: int, seconds: float = HELD_S) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert plane.replicas(what) == number


def applied_by_provider_v4(plane: Plane, manifest: Any) -> None:
    """Apply with `spec.replicas` ignored, as `handleSSAIgnoreFields` of Pulumi's provider for Kubernetes does it."""
    owners = plane.kubectl("get", DEPLOYMENT, "--show-managed-fields", "-o=jsonpath={range .metadata.managedFields[*]}"
                           "{.manager} {.fieldsV1.f:spec.f:replicas}\n{end}")  # fmt: skip
    names = {line.split()[0] for line in owners.splitlines() if len(line.split()) == 2}
    spec = {key: value for key, value in manifest["spec"].items() if key != "replicas"}
    if "pulumi" in names or not names:
        spec["replicas"] = plane.replicas(DEPLOYMENT)
    plane.apply({**manifest, "spec": spec}, manager="pulumi")


def test_replicas_rise_to_the_bound_and_fall_one_by_one(plane: Plane, followed: Any) -> None:
    plane.values = work(3.5)
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 4, "four replicas")
    plane.values = work(2 * MOST)
    wait_until(lambda: plane.replicas(DEPLOYMENT) == MOST, "as many as the bound")
    # Those that came within the period of the policy may end at once: no start is shorter than that.
    stays(plane, DEPLOYMENT, MOST, autoscaling.SCALE_IN_PERIOD_S)
    plane.values = NO_WORK
    wait_until(lambda: plane.replicas(DEPLOYMENT) == MOST - 1, "the end of one")
    stays(plane, DEPLOYMENT, MOST - 1, START_S)


def test_full_caches_ask_for_a_replica_that_the_requests_do_not(plane: Plane, followed: Any) -> None:
    plane.values = {DEMAND: 5, PRESSURE: 2.7}
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 4, "a replica for each 85 % of a cache")


@pytest.mark.parametrize(
    "seen", [{}, {PRESSURE: 0.0}, {DEMAND: 0.0}], ids=["nothing", "not the requests", "not the caches"]
)
def test_what_cannot_be_seen_ends_nothing_and_counts_as_work_for_the_memory(
    plane: Plane, followed: Any, seen: dict[str, float | None]
) -> None:
    plane.values = seen
    stays(plane, DEPLOYMENT, 2)
    plane.values = NO_WORK
    stays(plane, DEPLOYMENT, 2, START_S - 2 * LOOK_S)
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 1, "the end of one, once all is seen")


def test_without_keda_nothing_ends(plane: Plane, followed: Any) -> None:
    plane.stop("keda")
    plane.values = NO_WORK
    stays(plane, DEPLOYMENT, 2)
    plane.start_operator()
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 1, "the end of one, once KEDA is back")


def test_what_is_still_seen_may_add_replicas(plane: Plane, followed: Any) -> None:
    plane.values = {DEMAND: 4.0 * TARGET}
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 4, "four replicas")


def test_turning_it_on_and_later_changes_leave_the_number_alone_and_turning_it_off_gives_it_back(
    plane: Plane, followed: Any, model: Any
) -> None:
    on = model_server.deployment(model, "image", "nvidia")
    applied_by_provider_v4(plane, on)
    stays(plane, DEPLOYMENT, 2, 2 * LOOK_S)
    plane.values = work(4)
    wait_until(lambda: plane.replicas(DEPLOYMENT) == 4, "four replicas")
    applied_by_provider_v4(plane, model_server.deployment(model, "another", "nvidia"))
    stays(plane, DEPLOYMENT, 4, 2 * LOOK_S)
    with pytest.raises(AssertionError, match="conflict"):
        plane.apply(followed, manager="pulumi")


@pytest.fixture
def group(plane: Plane, model: Any) -> Iterator[str]:
    """The second of several groups of two pods, with all of its pods."""
    groups = model.model_copy(update={"nodes_per_replica": PODS, "gpus_per_replica": PODS})
    plane.values = work(2)
    plane.apply(
        model_group.stateful_set(groups, "image", 1, "nvidia"), autoscaling.scaled_group(groups, 1, plane.prometheus)
    )
    name = model_group.name_of(groups, 1)
    wait_until(lambda: name in plane.kubectl("get", "hpa", "-o", "name"), "an autoscaler by KEDA")
    yield f"statefulset/{name}"
    plane.kubectl("delete", f"scaledobject/{name}", f"statefulset/{name}")


def seen(plane: Plane, group: str, condition: Callable[[int], bool], what: str) -> set[int]:
    """Numbers of pods until the condition holds."""
    numbers: set[int] = set()

    def look() -> bool:
        numbers.add(plane.replicas(group))
        return any(map(condition, numbers))

    wait_until(look, what)
    return numbers


def test_a_group_ends_and_starts_whole_and_only_when_it_is_wanted(plane: Plane, group: str) -> None:
    stays(plane, group, PODS, START_S + autoscaling.LOOK_S)
    plane.values = work(1)
    assert seen(plane, group, lambda pods: pods == 0, "the end of the group") == {0, PODS}
    plane.values = work(1.1)
    numbers = seen(plane, group, lambda pods: pods > 0, "the start of the group")
    assert numbers == {0, PODS}


def test_what_cannot_be_seen_neither_ends_nor_starts_a_group(plane: Plane, group: str) -> None:
    blind_s = START_S + 2 * autoscaling.LOOK_S
    plane.values = {}
    stays(plane, group, PODS, blind_s)
    plane.values = NO_WORK
    wait_until(lambda: plane.replicas(group) == 0, "the end of the group")
    plane.values = {}
    stays(plane, group, 0, blind_s)
