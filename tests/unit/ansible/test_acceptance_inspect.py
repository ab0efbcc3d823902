"""Answers of nvidia-smi, the kernel log, a disk and a pod are read in the forms in which they are printed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_pod_result import pod_result

from .by_path import load

inspect_gpus = load("acceptance/files/inspect_gpus.py")
read_disk = load("acceptance/files/read_disk.py")

LINKS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-4b2c)
\t Link 0: 26.562 GB/s
\t Link 1: 26.562 GB/s
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-9d1e)
\t Link 0: 26.562 GB/s
\t Link 1: <inactive>
"""
QUERY = """\
GPU 00000000:1B:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    Remapped Rows
        Correctable Error                 : 0
        Uncorrectable Error               : 1
        Pending                           : Yes
        Remapping Failure Occurred        : No
    Fabric
        State                             : Completed
        Status                            : Success
    Processes                             : None
GPU 00000000:43:00.0
    Fabric
        State                             : In Progress
        Status                            : N/A
"""


def test_active_links_are_counted_by_gpu() -> None:
    assert inspect_gpus.read_links(LINKS) == [2, 1]


def test_the_fabric_state_is_read_by_gpu() -> None:
    assert inspect_gpus.read_fabric(QUERY) == [
        {"state": "Completed", "status": "Success"},
        {"state": "In Progress", "status": "N/A"},
    ]


def test_rows_that_wait_for_a_reset_are_read() -> None:
    assert inspect_gpus.read_remapped(QUERY) == [{"pending": "Yes", "failed": "No"}]


def test_xids_are_found_in_the_kernel_log(monkeypatch: pytest.MonkeyPatch) -> None:
    log = (
        "2026-01-01T00:00:00+0000 dgx1 kernel: NVRM: loading NVIDIA UNIX x86_64 Kernel Module\n"
        "2026-01-01T00:00:01+0000 dgx1 kernel: NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off the bus.\n"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=log))
    [event] = inspect_gpus.read_xids()
    assert (event["gpu"], event["xid"]) == ("0000:1b:00", "79")


def test_a_program_that_fails_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(returncode=9, stdout="", stderr="NVIDIA-SMI has failed because it couldn't communicate")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    found, error = inspect_gpus.ask(lambda: inspect_gpus.query(("index",)))
    assert found == []
    assert "couldn't communicate" in error


def test_a_corrupted_inforom_is_named_and_the_rest_of_the_answer_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-smi gives its whole answer, warns behind it, and ends with 14."""
    text = "0\n1\nWARNING: infoROM is corrupted at gpu 0000:1B:00.0\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=14, stdout=text, stderr=""))
    assert inspect_gpus.ask(lambda: inspect_gpus.query(("index",))) == ([{"index": "0"}, {"index": "1"}], "")
    assert inspect_gpus.ask(inspect_gpus.read_corrupted_inforoms) == (["0000:1B:00.0"], "")


def test_the_warning_may_stand_on_the_other_output(monkeypatch: pytest.MonkeyPatch) -> None:
    warning = "WARNING: infoROM is corrupted at gpu 0000:1B:00.0\n"
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=14, stdout="0\n", stderr=warning)
    )
    assert inspect_gpus.read_corrupted_inforoms() == ["0000:1B:00.0"]


def test_a_program_that_is_missing_is_named() -> None:
    _, error = inspect_gpus.ask(lambda: inspect_gpus.run("no-such-program"))
    assert "no-such-program" in error


def test_a_disk_is_read_no_further_than_asked(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(4 * read_disk.BLOCK_BYTES + 1))
    assert read_disk.measure(tmp_path, 2 * read_disk.BLOCK_BYTES)["bytes"] == 2 * read_disk.BLOCK_BYTES


def test_a_folder_without_a_large_file_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    assert read_disk.measure(tmp_path, 10**9)["gb_per_s"] == 0


def pod(phase: str, **status: Any) -> str:
    return json.dumps({"status": {"phase": phase, **status}})


def test_a_pods_last_line_is_its_answer() -> None:
    assert pod_result(pod("Succeeded"), 'a warning\n{"correct": true}\n') == {"correct": True}


def test_a_rank_that_prints_nothing_has_no_answer() -> None:
    assert pod_result(pod("Succeeded"), "") == {}


def test_a_failed_pod_tells_its_last_line() -> None:
    assert pod_result(pod("Failed"), "Traceback\nRuntimeError: NCCL error") == {
        "error": "the pod is Failed: RuntimeError: NCCL error"
    }


def test_a_pod_that_never_ran_tells_the_schedulers_reason() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes: Insufficient nvidia.com/gpu"}
    assert "Insufficient nvidia.com/gpu" in pod_result(pod("Pending", conditions=[unscheduled]), "")["error"]


def test_a_pod_that_could_not_be_made_is_an_error_too() -> None:
    assert "kubectl failed" in pod_result("", "")["error"]
