"""The simulated NVIDIA software reports what the rack's files contain, and fails as NVIDIA's does."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.gpu import slots
from lab.paths import REPO

SOURCES = REPO / "lab/gpu/nvidia"
VERSION = "580.126.20"
SMI = Callable[..., str]


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    flags = ("-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f'-DVERSION="{VERSION}"', "-DCUDA_VERSION=13000")
    for source, name in (("nvml", "libnvidia-ml.so.1"), ("cuda", "libcuda.so.1")):
        subprocess.run(
            ["gcc", *flags, f"-Wl,-soname,{name}", "-o", folder / name, SOURCES / f"{source}.c"],
            check=True,
        )
    return folder


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of the rack whose module is loaded and whose fabric manager runs, as a folder."""
    slots.install(tmp_path)
    for folder in ("dev", "run/nvidia-fabricmanager", "proc/driver/nvidia"):
        (tmp_path / folder).mkdir(parents=True)
    for node in (*(f"nvidia{n}" for n in range(8)), "nvidiactl", "nvidia-uvm", "nvidia-nvswitchctl"):
        (tmp_path / "dev" / node).touch()
    loaded = f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {VERSION}  Release Build  (stand-in)\n"
    (tmp_path / "proc/driver/nvidia/version").write_text(loaded)
    (tmp_path / "run/nvidia-fabricmanager/version").write_text(f"{VERSION}\n")
    monkeypatch.setenv("RACK_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def nvml(libraries: Path, rack: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(libraries / "libnvidia-ml.so.1"))


@pytest.fixture
def cuda(libraries: Path, rack: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(libraries / "libcuda.so.1"))


@pytest.fixture
def smi(libraries: Path, rack: Path) -> SMI:
    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, SOURCES / "nvidia_smi.py", *arguments],
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


def set_reading(rack: Path, gpu: int, name: str, value: int) -> None:
    (rack / f"opt/rack/gpus/{gpu}/{name}").write_text(f"{value}\n")


def test_slots_hold_eight_gpus_and_four_switches_by_pci_id(tmp_path: Path) -> None:
    slots.install(tmp_path)
    ids = [(d / "vendor").read_text() + (d / "device").read_text() for d in (tmp_path / slots.PCI).iterdir()]
    assert sorted(ids) == ["0x10de\n0x22a3\n"] * 4 + ["0x10de\n0x2330\n"] * 8


def test_gpus_are_counted_named_and_sized(smi: SMI) -> None:
    rows = smi("--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader").splitlines()
    assert rows == [f"{n}, NVIDIA H100 80GB HBM3, 81559 MiB, {VERSION}" for n in range(8)]


def test_another_pci_id_is_another_model(rack: Path, smi: SMI) -> None:
    (rack / slots.PCI / "0000:1b:00.0/device").write_text("0x20b2\n")
    assert "A100-SXM4-80GB" in smi("-L").splitlines()[0]


def test_readings_come_from_files(rack: Path, smi: SMI) -> None:
    wanted = {"utilization_percent": 97, "temperature_c": 88, "memory_used_mib": 70000, "ecc_uncorrected": 2}
    for name, value in wanted.items():
        set_reading(rack, 3, name, value)
    fields = "utilization.gpu,temperature.gpu,memory.used,ecc.errors.uncorrected.volatile.total"
    rows = smi(f"--query-gpu={fields}", "--format=csv,noheader,nounits").splitlines()
    assert rows[3] == "97, 88, 70000, 2"
    assert rows[2] == "0, 31, 4, 0"


def test_a_lost_gpu_is_said(rack: Path, smi: SMI) -> None:
    set_reading(rack, 5, "lost", 1)
    assert "GPU is lost" in smi(code=15)


def test_an_unknown_field_is_refused(smi: SMI) -> None:
    smi("--query-gpu=no.such.field", code=1)


def test_links_that_are_down_show_in_the_topology(rack: Path, smi: SMI) -> None:
    set_reading(rack, 0, "nvlinks_down", 2)
    assert smi("nvlink", "--status").count("<inactive>") == 2
    lines = smi("topo", "-m").splitlines()
    assert "NV16" in lines[1]
    assert "NV18" in lines[2]


def test_an_xid_is_an_event_told_once(rack: Path, nvml: ctypes.CDLL) -> None:
    class Event(ctypes.Structure):
        _fields_ = (
            *(("device", ctypes.c_void_p), ("kind", ctypes.c_ulonglong), ("data", ctypes.c_ulonglong)),
            *(("instance", ctypes.c_uint), ("compute", ctypes.c_uint)),
        )

    device, events, event = ctypes.c_void_p(), ctypes.c_void_p(), Event()
    assert nvml.nvmlInit_v2() == 0
    assert nvml.nvmlDeviceGetHandleByIndex_v2(2, ctypes.byref(device)) == 0
    assert nvml.nvmlEventSetCreate(ctypes.byref(events)) == 0
    assert nvml.nvmlDeviceRegisterEvents(device, ctypes.c_ulonglong(8), events) == 0
    assert nvml.nvmlEventSetWait_v2(events, ctypes.byref(event), 0) == 10
    set_reading(rack, 2, "xid", 79)
    assert nvml.nvmlEventSetWait_v2(events, ctypes.byref(event), 1000) == 0
    assert (event.kind, event.data, event.device) == (8, 79, device.value)
    assert nvml.nvmlEventSetWait_v2(events, ctypes.byref(event), 0) == 10


def test_without_the_module_there_is_no_driver(rack: Path, nvml: ctypes.CDLL, cuda: ctypes.CDLL, smi: SMI) -> None:
    for node in (rack / "dev").iterdir():
        node.unlink()
    assert nvml.nvmlInit_v2() == 9
    assert cuda.cuInit(0) == 100
    assert "couldn't communicate with the NVIDIA driver" in smi(code=9)


def test_a_container_sees_the_gpus_whose_nodes_it_was_given(rack: Path, cuda: ctypes.CDLL, smi: SMI) -> None:
    for minor in (0, 1, 2, 4, 6, 7):
        (rack / f"dev/nvidia{minor}").unlink()
    listed = smi("-L").splitlines()
    assert [line.rpartition("-")[2].rstrip(")") for line in listed] == ["000000000003", "000000000005"]
    count = ctypes.c_int()
    assert (cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count)), count.value) == (0, 0, 2)


@pytest.mark.parametrize(("node", "nvml_code", "cuda_code"), [("nvidiactl", 9, 100), ("nvidia-uvm", 0, 999)])
def test_gpus_need_the_nodes_that_all_of_them_share(
    rack: Path, nvml: ctypes.CDLL, cuda: ctypes.CDLL, node: str, nvml_code: int, cuda_code: int
) -> None:
    (rack / "dev" / node).unlink()
    assert (nvml.nvmlInit_v2(), cuda.cuInit(0)) == (nvml_code, cuda_code)


def test_a_module_of_another_version_is_a_mismatch(rack: Path, cuda: ctypes.CDLL, smi: SMI) -> None:
    (rack / "proc/driver/nvidia/version").write_text("NVRM version: ... x86_64  535.216.01  Release Build\n")
    assert "Driver/library version mismatch" in smi(code=18)
    assert cuda.cuInit(0) == 803


@pytest.mark.parametrize("manager", [None, "535.216.01"])
def test_without_its_fabric_manager_only_cuda_fails(rack: Path, cuda: ctypes.CDLL, smi: SMI, manager: str) -> None:
    running = rack / "run/nvidia-fabricmanager/version"
    running.unlink()
    if manager:
        running.write_text(f"{manager}\n")
    assert "H100" in smi()
    assert smi("--query-gpu=fabric.state", "--format=csv,noheader").split("\n")[0] == "In Progress"
    assert cuda.cuInit(0) == 802


def test_without_switches_no_fabric_is_asked_for(rack: Path, cuda: ctypes.CDLL, smi: SMI) -> None:
    (rack / "dev/nvidia-nvswitchctl").unlink()
    (rack / "run/nvidia-fabricmanager/version").unlink()
    assert smi("--query-gpu=fabric.state", "--format=csv,noheader").split("\n")[0] == "[N/A]"
    assert cuda.cuInit(0) == 0


def fabric(smi: SMI) -> set[str]:
    return set(smi("--query-gpu=fabric.state,fabric.status", "--format=csv,noheader").splitlines())


@pytest.fixture
def replace_gpus(rack: Path) -> Callable[[str], None]:
    """Puts GPUs of another model into the slots."""

    def fill(model: str) -> None:
        shutil.rmtree(rack / "opt/rack")
        slots.install(rack, model)

    return fill


def test_an_a100_has_nothing_to_say_of_its_fabric(
    rack: Path, replace_gpus: Callable[[str], None], cuda: ctypes.CDLL, smi: SMI
) -> None:
    replace_gpus("a100")
    assert fabric(smi) == {"[N/A], [N/A]"}
    assert "        State                             : N/A" in smi("-q")
    assert smi("--query-gpu=compute_cap", "--format=csv,noheader").split("\n")[0] == "8.0"
    assert cuda.cuInit(0) == 0
    (rack / "run/nvidia-fabricmanager/version").unlink()
    assert fabric(smi) == {"[N/A], [N/A]"}
    assert cuda.cuInit(0) == 802


def test_a_b200_waits_for_its_fabric_though_no_switch_shows(
    rack: Path, replace_gpus: Callable[[str], None], cuda: ctypes.CDLL, smi: SMI
) -> None:
    replace_gpus("b200")
    (rack / "dev/nvidia-nvswitchctl").unlink()
    assert fabric(smi) == {"Completed, Success"}
    (rack / "run/nvidia-fabricmanager/version").unlink()
    assert fabric(smi) == {"In Progress, [N/A]"}
    assert cuda.cuInit(0) == 802


def test_a_fabric_may_end_without_success(rack: Path, smi: SMI) -> None:
    set_reading(rack, 2, "fabric_status", 23)
    assert fabric(smi) == {"Completed, Success", "Completed, Insufficient Resources"}


def test_a_corrupted_inforom_is_a_warning_behind_a_whole_answer(rack: Path, smi: SMI) -> None:
    set_reading(rack, 0, "inforom_corrupted", 1)
    lines = smi("--query-gpu=index", "--format=csv,noheader", code=14).splitlines()
    assert lines == [*map(str, range(8)), "WARNING: infoROM is corrupted at gpu 0000:1B:00.0"]
    smi("-q")
    smi("-L")


def test_a_gpu_in_mig_mode_is_no_device_of_cuda(rack: Path, cuda: ctypes.CDLL, smi: SMI) -> None:
    set_reading(rack, 4, "mig_mode", 1)
    assert smi("--query-gpu=mig.mode.current", "--format=csv,noheader").split().count("Enabled") == 1
    assert smi("nvlink", "--status").count("<inactive>") == 18
    count = ctypes.c_int()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    assert count.value == 7


def test_memory_keeps_what_is_written(cuda: ctypes.CDLL) -> None:
    memory, back = ctypes.c_void_p(), ctypes.create_string_buffer(4)
    assert cuda.cuInit(0) == 0
    assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(4)) == 0
    assert cuda.cuMemsetD8_v2(memory, 0xA5, ctypes.c_size_t(4)) == 0
    assert cuda.cuMemcpyDtoH_v2(back, memory, ctypes.c_size_t(4)) == 0
    assert back.raw == b"\xa5" * 4
