"""A host passes in the right state only, and a waived check is never called passed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_fabric import assess_fabric
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_gpus import assess_gpus
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_host import assess_host
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_judge import judge

NEEDED = {
    "gpus": 8,
    "free_gpus": 8,
    "nvlinks": 18,
    "nvswitch": True,
    "ecc": True,
    "xids_ignored": [13, 31, 43, 45],
    "clock_sync_required": True,
    "disk_min_gb_per_s": 2.0,
    "all_reduce_min_gb_per_s": 100,
    "all_reduce_ranks": 16,
}


def healthy() -> dict[str, Any]:
    gpu = {
        "name": "NVIDIA H100 80GB HBM3",
        "driver_version": "535.183.06",
        "ecc.mode.current": "Enabled",
        "ecc.errors.uncorrected.volatile.total": "0",
        "compute_cap": "9.0",
        "mig.mode.current": "Disabled",
    }
    return {
        "gpus": [{"index": str(n), **gpu} for n in range(8)],
        "remapped": [{"pending": "No", "failed": "No"} for _ in range(8)],
        "links": [18] * 8,
        "fabric": [{"state": "Completed", "status": "Success"}] * 8,
        "inforoms": [],
        "errors": {},
        "services": {"nvidia-fabricmanager": "active", "nvidia-persistenced": "active"},
        "xids": [],
        "clock_disciplined": True,
        "disk": {"bytes": 8e9, "elapsed_s": 0.4, "gb_per_s": 20.0},
        "torch": {
            "cuda_available": True,
            "devices": ["H100"] * 8,
            "computed": True,
            "torch": "2",
            "cuda_build": "13.0",
        },
        "all_reduce": {"backend": "nccl", "ranks": 16, "bytes": 1, "correct": True, "bus_gb_per_s": 340.0},
    }


def rows(answer: dict[str, Any], waived: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    assessed = assess_gpus(answer, NEEDED) + assess_fabric(answer, NEEDED) + assess_host(answer, NEEDED)
    return {row["name"]: row for row in judge(assessed, waived or {})}


def failed(answer: dict[str, Any]) -> set[str]:
    return {name for name, row in rows(answer).items() if row["status"] == "fail"}


def test_a_healthy_host_passes_every_check() -> None:
    judged = rows(healthy())
    assert {row["status"] for row in judged.values()} == {"pass"}
    assert set(judged) == {
        *(
            "nvidia-smi",
            "MIG",
            "infoROM",
            "ECC",
            "remapped rows",
            "NVLink",
            "fabric",
            "nvidia-fabricmanager",
            "nvidia-persistenced",
        ),
        *("XID", "torch.cuda", "clock", "disk bandwidth", "all-reduce"),
    }


@pytest.mark.parametrize(
    ("check", "part", "value"),
    [
        ("NVLink", "links", [18] * 7 + [17]),
        ("NVLink", "links", [18] * 7),
        ("fabric", "fabric", [{"state": "In Progress", "status": "N/A"}] * 8),
        ("fabric", "fabric", [{"state": "N/A", "status": "N/A"}] * 8),
        ("fabric", "fabric", [{"state": "Completed", "status": "Insufficient Resources"}] * 8),
        ("infoROM", "inforoms", ["0000:1B:00.0"]),
        ("nvidia-fabricmanager", "services", {"nvidia-fabricmanager": "failed"}),
        ("XID", "xids", [{"gpu": "0000:1b:00", "xid": "79", "line": ""}]),
        ("clock", "clock_disciplined", False),
        ("disk bandwidth", "disk", {"bytes": 8e9, "elapsed_s": 8, "gb_per_s": 1.0}),
        ("torch.cuda", "torch", {"cuda_available": False, "devices": [], "torch": "2", "cuda_build": "13.0"}),
        ("torch.cuda", "torch", {"error": "the pod is Failed: CUDA error 802"}),
        ("torch.cuda", "torch", {}),
        ("all-reduce", "all_reduce", {"error": "the pod is Failed: timeout"}),
        ("all-reduce", "all_reduce", {}),
        ("remapped rows", "remapped", [{"pending": "Yes", "failed": "No"}] * 8),
    ],
)
def test_one_fault_fails_its_own_check(check: str, part: str, value: Any) -> None:
    assert failed(healthy() | {part: value}) == {check}


def test_a_gpu_that_is_gone_or_of_another_driver_fails() -> None:
    answer = healthy()
    answer["gpus"] = answer["gpus"][:7]
    assert "nvidia-smi" in failed(answer)
    answer = healthy()
    answer["gpus"][3] = answer["gpus"][3] | {"driver_version": "550.54.15"}
    assert failed(answer) == {"nvidia-smi"}


def a100() -> dict[str, Any]:
    """Answers of eight A100 whose fabric is sound."""
    answer = healthy() | {"fabric": [{"state": "N/A", "status": "N/A"}] * 8}
    answer["gpus"] = [gpu | {"name": "NVIDIA A100-SXM4-80GB", "compute_cap": "8.0"} for gpu in answer["gpus"]]
    return answer


def test_gpus_before_hopper_have_nothing_to_say_of_a_sound_fabric() -> None:
    assert failed(a100()) == set()
    assert failed(a100() | {"fabric": []}) == set()
    assert failed(a100() | {"services": {"nvidia-fabricmanager": "failed"}}) == {"nvidia-fabricmanager"}
    assert failed(a100() | {"torch": {"error": "the pod is Failed: CUDA error 802"}}) == {"torch.cuda"}


def test_a_dead_fabric_manager_fails_beside_a_fabric_that_says_completed() -> None:
    row = rows(healthy() | {"services": {"nvidia-fabricmanager": "failed"}})["nvidia-fabricmanager"]
    assert row["status"] == "fail"
    assert "GPUs keep their last state while it is dead" in row["remedy"]


def test_a_gpu_left_in_mig_mode_is_named_with_the_way_out() -> None:
    answer = healthy()
    answer["gpus"][5] = answer["gpus"][5] | {"mig.mode.current": "Enabled"}
    assert failed(answer) == {"MIG"}
    assert "nvidia-smi -i 5 -mig 0" in rows(answer)["MIG"]["remedy"]


def test_a_gpu_without_mig_passes() -> None:
    answer = healthy()
    answer["gpus"] = [gpu | {"mig.mode.current": "[N/A]"} for gpu in answer["gpus"]]
    assert failed(answer) == set()


def test_uncorrected_memory_errors_fail_and_name_the_gpu() -> None:
    answer = healthy()
    answer["gpus"][3] = answer["gpus"][3] | {"ecc.errors.uncorrected.volatile.total": "2"}
    assert failed(answer) == {"ECC"}
    assert "GPU ['3']" in rows(answer)["ECC"]["found"]


def test_an_xid_that_an_application_caused_passes() -> None:
    assert failed(healthy() | {"xids": [{"gpu": "0000:1b:00", "xid": "31", "line": ""}]}) == set()


@pytest.mark.parametrize("change", [{"correct": False}, {"bus_gb_per_s": 10.0}, {"ranks": 8}])
def test_a_wrong_slow_or_smaller_all_reduce_fails(change: dict[str, Any]) -> None:
    assert failed(healthy() | {"all_reduce": healthy()["all_reduce"] | change}) == {"all-reduce"}


def test_the_report_says_which_backend_ran() -> None:
    answer = healthy()
    answer["all_reduce"]["backend"] = "gloo"
    assert rows(answer)["all-reduce"]["found"].startswith("gloo, ")


def test_a_waived_check_is_never_called_passed() -> None:
    blind = healthy() | {"torch": {"cuda_available": False, "devices": [], "torch": "2", "cuda_build": "13.0"}}
    row = rows(blind, {"torch.cuda": "no device here"})["torch.cuda"]
    assert (row["status"], row["waiver"]) == ("waived", "no device here")
    assert "no CUDA device" in row["found"]


def test_a_waiver_that_is_not_needed_leaves_a_pass() -> None:
    assert rows(healthy(), {"torch.cuda": "no device here"})["torch.cuda"]["status"] == "pass"


def test_a_host_without_gpus_is_asked_nothing_about_them() -> None:
    assert assess_gpus(healthy(), NEEDED | {"gpus": 0}) == []
    assert assess_fabric(healthy(), NEEDED | {"gpus": 0}) == []


def test_a_driver_that_does_not_answer_is_found_with_its_own_words() -> None:
    answer = healthy() | {"gpus": [], "errors": {"gpus": "nvidia-smi: couldn't communicate with the driver"}}
    assert "couldn't communicate" in rows(answer)["nvidia-smi"]["found"]
    assert {"nvidia-smi", "ECC"} <= failed(answer)
