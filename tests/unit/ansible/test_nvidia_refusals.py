"""Refusals of the NVIDIA roles before anything is installed; their first tasks run on this machine.

Each case is a host of a made-up inventory, so that one run of a task file answers for all cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from . import refusals

ROOT = Path(__file__).parents[3]
STACKS = yaml.safe_load((ROOT / "versions.yml").read_text())["versions"]["nvidia"]["stacks"]
NEW, OLD = STACKS["cuda-13.0"], STACKS["cuda-12.2"]


def refused(folder: Path, role: str, cases: refusals.Cases) -> dict[str, str]:
    """Run a role's preflight; return the message to each case that was refused."""
    facts = {"distribution": "Debian", "distribution_major_version": "12"}
    tasks = [
        {"ansible.builtin.set_fact": {"ansible_facts": facts}},
        {"ansible.builtin.import_role": {"name": role, "tasks_from": "preflight"}},
    ]
    return refusals.refused(folder, tasks, cases)


def pci(folder: Path, modalias: str) -> str:
    device = folder / modalias[-11:] / "0000:1b:00.0"
    device.mkdir(parents=True)
    (device / "modalias").write_text(f"{modalias}\n")
    return str(device.parent)


def test_a_mixture_of_rows_a_foreign_torch_and_a_host_without_gpus_are_refused(tmp_path: Path) -> None:
    gpu = pci(tmp_path, "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00")
    network_card = pci(tmp_path, "pci:v000015B3d00001021sv000015B3sd00000023bc02sc07i00")
    site = {"nvidia_driver_stacks": STACKS, "nvidia_driver_stack": NEW, "nvidia_driver_pci_devices_dir": gpu}
    cases: dict[str, dict[str, Any]] = {
        "fits": site | {"nvidia_driver_torch_version": "2.13.0"},
        "older-row": site | {"nvidia_driver_stack": OLD, "nvidia_driver_torch_version": "2.0.1"},
        "other-fabric-manager": site | {"nvidia_driver_stack": NEW | {"fabric_manager": OLD["fabric_manager"]}},
        "other-cudnn": site | {"nvidia_driver_stack": OLD | {"cudnn": NEW["cudnn"]}},
        "other-torch": site | {"nvidia_driver_stack": OLD, "nvidia_driver_torch_version": "2.13.0"},
        "no-gpu": site | {"nvidia_driver_pci_devices_dir": network_card},
    }
    messages = refused(tmp_path, "nvidia_driver", cases)
    assert set(messages) == {"other-fabric-manager", "other-cudnn", "other-torch", "no-gpu"}
    assert "needed one of cuda-13.0, cuda-12.8, cuda-12.2, as it stands" in messages["other-cudnn"]
    assert "Found torch 2.13.0" in messages["other-torch"]
    assert "2.0.1, 2.1.2, 2.2.2, 2.3.1" in messages["other-torch"]
    assert "Found no GPU of NVIDIA's" in messages["no-gpu"]


def test_an_unknown_row_is_named_before_anything_is_done_to_the_host(tmp_path: Path) -> None:
    """The inventory's own expression must not end in a Jinja error."""
    for site in ("example", "local"):
        variables = yaml.safe_load((ROOT / f"inventory/{site}/group_vars/all/site.yml").read_text())
        variables |= yaml.safe_load((ROOT / f"inventory/{site}/group_vars/gpu/preflight.yml").read_text())
        shared = {name: variables[name] for name in variables if "nvidia" in name} | {"preflight_plan_files": []}
        shared |= {"versions": {"nvidia": {"stacks": STACKS}}, "nvidia_driver_stacks": STACKS}
        shared |= {"nvidia_driver_stack": "{{ site_nvidia }}", "nvidia_driver_torch_version": ""}
        cases: refusals.Cases = {"unknown": shared | {"site_nvidia_stack": "cuda-12.9"}}
        message = refused(tmp_path, "preflight", cases)["unknown"]
        assert 'Found the row "cuda-12.9" for unknown, needed one of cuda-13.0, cuda-12.8, cuda-12.2' in message
        message = refused(tmp_path, "nvidia_driver", cases)["unknown"]
        assert "needed one of cuda-13.0, cuda-12.8, cuda-12.2" in message


def test_a_fabric_manager_that_differs_in_the_last_digit_is_refused(tmp_path: Path) -> None:
    versions = {"same": "580.126.20", "last-digit": "580.126.21", "branch": "580"}
    switches = {"__nvidia_fabricmanager_switches": {"matched": 4}, "__nvidia_fabricmanager_nvlink5": {"matched": 0}}
    switches |= {"nvidia_fabricmanager_driver_version": "580.126.20"}
    cases = {name: switches | {"nvidia_fabricmanager_version": version} for name, version in versions.items()}
    messages = refused(tmp_path, "nvidia_fabricmanager", cases)
    assert set(messages) == {"last-digit", "branch"}
    assert 'Found nvidia_fabricmanager_version "580.126.21" and driver "580.126.20"' in messages["last-digit"]


def answers(folder: Path, name: str, fabric: str, *, service: str = "active") -> dict[str, Any]:
    """A host on which nvidia-smi and systemctl give these answers."""
    programs = folder / name
    programs.mkdir()
    for program, text in (("nvidia-smi", fabric), ("systemctl", f"     Active: {service} (running)")):
        (programs / f"{program}.txt").write_text(f"{text}\n")
        (programs / program).write_text(f"#!/bin/sh\nexec /bin/cat {programs}/{program}.txt\n")
        (programs / program).chmod(0o755)
    return {"programs": f"{programs}:/usr/bin:/bin", "nvidia_fabricmanager_timeout_s": 2}


def checked(folder: Path, role: str, tasks_from: str, cases: refusals.Cases) -> dict[str, str]:
    role_tasks = {"name": role, "tasks_from": tasks_from}
    tasks = [{"ansible.builtin.import_role": role_tasks, "environment": {"PATH": "{{ programs }}"}}]
    return refusals.refused(folder, tasks, cases)


def test_the_fabric_is_judged_by_what_the_gpu_can_say_of_it(tmp_path: Path) -> None:
    """A100 says N/A for ever; Hopper has to be registered, wholly, while the manager runs."""
    states = {
        "a100": ("8.0, [N/A], [N/A]", "active"),
        "a100-plain": ("8.0, N/A, N/A", "active"),
        "h100": ("9.0, Completed, Success", "active"),
        "b200": ("10.0, Completed, Success", "active"),
        "warning": ("9.0, Completed, Success\nWARNING: infoROM is corrupted at gpu 0000:1B:00.0", "active"),
        "waits": ("9.0, In Progress, [N/A]", "active"),
        "unregistered": ("9.0, [N/A], [N/A]", "active"),
        "not-whole": ("9.0, Completed, Insufficient Resources", "active"),
        "dead": ("9.0, Completed, Success", "failed"),
        "a100-dead": ("8.0, [N/A], [N/A]", "inactive"),
        "silent": ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "active"),
    }
    cases = {name: answers(tmp_path, name, fabric, service=run) for name, (fabric, run) in states.items()}
    messages = checked(tmp_path, "nvidia_fabricmanager", "check", cases)
    assert set(messages) == {"waits", "unregistered", "not-whole", "dead", "a100-dead", "silent"}
    assert "In Progress after 2 s, needed Completed" in messages["waits"]
    assert "Completed with status Insufficient Resources, needed Success" in messages["not-whole"]
    assert "Found nvidia-fabricmanager failed on dead, needed active" in messages["dead"]
    assert "without an answer" in messages["silent"]


def test_a_gpu_in_mig_mode_is_named_by_its_address(tmp_path: Path) -> None:
    modes = {
        "off": "Disabled, 00000000:1B:00.0\nDisabled, 00000000:43:00.0",
        "none": "[N/A], 00000000:1B:00.0",
        "left": "Disabled, 00000000:1B:00.0\nEnabled, 00000000:43:00.0",
    }
    cases = {name: answers(tmp_path, name, text) for name, text in modes.items()}
    messages = checked(tmp_path, "nvidia_driver", "mig", cases)
    assert set(messages) == {"left"}
    assert "Found MIG mode on 00000000:43:00.0 of left" in messages["left"]
    assert "nvidia-smi -i 00000000:43:00.0 -mig 0" in messages["left"]


def test_a_corrupted_inforom_is_no_failure_of_the_driver(tmp_path: Path) -> None:
    warning = "580.126.20\nWARNING: infoROM is corrupted at gpu 0000:1B:00.0"
    cases = {
        "warned": answers(tmp_path, "warned", warning),
        "lacks-one": answers(tmp_path, "lacks-one", warning) | {"__nvidia_driver_gpus": {"matched": 2}},
    }
    known = {"__nvidia_driver_gpus": {"matched": 1}, "nvidia_driver_stack": {"driver": "580.126.20"}}
    messages = checked(tmp_path, "nvidia_driver", "check", {name: known | case for name, case in cases.items()})
    assert set(messages) == {"lacks-one"}


def test_nvlink_5_without_its_subnet_manager_is_refused(tmp_path: Path) -> None:
    bridge = "pci:v000015B3d00001021sv000015B3sd00000023bc02sc07i00"
    b200, h100 = (f"pci:v000010DEd0000{product}sv000010DEsd000016C1bc03sc02i00" for product in ("2901", "2330"))
    versions = {f"nvidia_fabricmanager_{name}": "580.126.20" for name in ("version", "driver_version")}
    cases: refusals.Cases = {}
    for name, gpu in (("b200", b200), ("h100", h100)):
        (tmp_path / name).mkdir()
        pci(tmp_path / name, bridge)
        cases[name] = versions | {"nvidia_fabricmanager_pci_devices_dir": pci(tmp_path / name, gpu)}
    tasks = [
        {"ansible.builtin.import_role": {"name": "nvidia_fabricmanager", "tasks_from": part}}
        for part in ("look", "preflight")
    ]
    messages = refusals.refused(tmp_path, tasks, cases)
    assert set(messages) == {"b200"}
    assert "package nvlsm not installed and module ib_umad not loaded; needed both" in messages["b200"]


def test_only_the_rows_own_fabric_manager_is_adopted(tmp_path: Path) -> None:
    version_lines = {
        "same": "Fabric Manager version is : 580.126.20",
        "other": "Fabric Manager version is : 550.163.01",
    }
    cases = {}
    for name, text in version_lines.items():
        cases[name] = answers(tmp_path, name, text) | {"nvidia_fabricmanager_version": "580.126.20"}
        for program in ("nv-fabricmanager", "dpkg-query"):
            (tmp_path / name / program).symlink_to("nvidia-smi")
    messages = checked(tmp_path, "nvidia_fabricmanager", "adopt", cases)
    assert set(messages) == {"other"}
    assert "Found fabric manager 550.163.01 on other and nvidia_fabricmanager_adopted" in messages["other"]


def test_a_driver_that_is_not_there_is_not_adopted(tmp_path: Path) -> None:
    cases = {"bare": {"nvidia_driver_stack": NEW}}
    tasks = [{"ansible.builtin.import_role": {"name": "nvidia_driver", "tasks_from": "adopt"}}]
    message = refusals.refused(tmp_path, tasks, cases)["bare"]
    assert f"Found driver none in use on bare and nvidia_driver_adopted, needed {NEW['driver']}" in message


def test_cuda_that_the_driver_is_too_old_for_is_refused(tmp_path: Path) -> None:
    drivers = {"newer": "580.126.20", "oldest": "580.65.06", "too-old": "535.216.01"}
    cases = {
        name: {"cuda_version": "13.0.2", "cuda_driver_version": driver, "cuda_driver_min_version": "580.65.06"}
        for name, driver in drivers.items()
    }
    messages = refused(tmp_path, "cuda", cases)
    assert set(messages) == {"too-old"}
    assert 'driver "535.216.01"' in messages["too-old"]


def test_cudnn_of_another_cuda_is_refused(tmp_path: Path) -> None:
    pairs = {"new": ("9.20.0.48", "13.0.2"), "old": ("8.9.7.29", "12.2.2"), "mixed": ("8.9.7.29", "13.0.2")}
    pairs |= {"unknown": ("7.6.5.32", "10.2.0"), "short": ("9.20", "13.0.2")}
    cases = {name: {"cudnn_version": cudnn, "cudnn_cuda_version": cuda} for name, (cudnn, cuda) in pairs.items()}
    messages = refused(tmp_path, "cudnn", cases)
    assert set(messages) == {"mixed", "unknown", "short"}
    assert 'Found cudnn_version "8.9.7.29" and CUDA "13.0.2"' in messages["mixed"]
