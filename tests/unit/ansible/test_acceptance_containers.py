"""A container that lacks the driver, or may not lock memory, fails a host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_containers import assess_containers

UNLIMITED = -1
MIB = 2**20


def rows(torch: dict[str, Any], least_mib: int = UNLIMITED) -> dict[str, dict[str, Any]]:
    needed = {"free_gpus": 4, "locked_memory_min_mib": least_mib}
    return {row["name"]: row for row in assess_containers({"torch": torch}, needed)}


def test_a_container_with_its_gpus_and_no_limit_passes() -> None:
    answer = {"driver": {"devices": 4}, "locked_memory_bytes": UNLIMITED}
    assert all(row["ok"] for row in rows(answer).values())


def test_nothing_is_said_of_a_host_on_which_no_pod_was_run() -> None:
    assert assess_containers({}, {}) == []


@pytest.mark.parametrize(
    "driver",
    [{"devices": 0, "error": "libcuda.so.1: cannot open shared object file"}, {"devices": 8}, {"devices": 3}],
)
def test_no_driver_or_another_number_of_gpus_fails(driver: dict[str, Any]) -> None:
    row = rows({"driver": driver, "locked_memory_bytes": UNLIMITED})["driver in a container"]
    assert not row["ok"]
    assert "acceptance_runtime_class" in row["remedy"]
    assert row["found"] == driver.get("error", f"{driver['devices']} GPUs")


@pytest.mark.parametrize(
    ("limit_bytes", "least_mib", "ok"),
    [
        (8 * MIB, UNLIMITED, False),
        (8 * MIB, 64, False),
        (64 * MIB, 64, True),
        (UNLIMITED, 64, True),
        (8 * MIB, 0, None),
    ],
)
def test_memory_that_may_be_locked_is_held_against_what_the_site_needs(
    limit_bytes: int, least_mib: int, ok: bool | None
) -> None:
    row = rows({"driver": {"devices": 4}, "locked_memory_bytes": limit_bytes}, least_mib).get("locked memory")
    assert (row and row["ok"]) == ok


def test_what_was_found_and_needed_of_it_is_said_in_mib() -> None:
    row = rows({"driver": {"devices": 4}, "locked_memory_bytes": 8 * MIB})["locked memory"]
    assert (row["found"], row["needed"]) == ("8 MiB", "unlimited")


def test_a_pod_that_did_not_run_says_why() -> None:
    assert {row["found"] for row in rows({"error": "the pod is Pending"}).values()} == {"the pod is Pending"}
