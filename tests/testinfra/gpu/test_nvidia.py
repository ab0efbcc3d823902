"""GPU hosts run one row of the compatibility table, whole, held, and working."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from ..inventory import ROOT, Expected

CUDA_CHECK = "ansible/roles/cuda/files/check_cuda.py"
CUDNN = "import ctypes, sys; print(ctypes.CDLL('libcudnn.so.' + sys.argv[1]).cudnnGetVersion())"


def query(host: Host, field: str) -> list[str]:
    return host.check_output(f"nvidia-smi --query-gpu={field} --format=csv,noheader,nounits").splitlines()


@pytest.fixture(scope="module")
def stack(expected: Expected) -> dict[str, Any]:
    return expected["nvidia_driver_stack"]


@pytest.fixture(scope="module")
def gpus(host: Host, expected: Expected) -> int:
    """GPUs on the PCI bus, which are known without a driver."""
    kinds = host.check_output("cat %s/*/modalias", expected["nvidia_driver_pci_devices_dir"])
    return sum("v000010DE" in kind and "bc03sc02" in kind for kind in kinds.splitlines())


@pytest.fixture(scope="module")
def switches(host: Host, expected: Expected) -> int:
    kinds = host.check_output("cat %s/*/modalias", expected["nvidia_fabricmanager_pci_devices_dir"])
    return sum("v000010DE" in kind and "bc06sc80" in kind for kind in kinds.splitlines())


def test_the_driver_serves_every_gpu_at_its_version(host: Host, stack: dict[str, Any], gpus: int) -> None:
    assert gpus > 0
    assert query(host, "driver_version") == [stack["driver"]] * gpus


def test_the_module_in_use_is_the_one_installed(host: Host, stack: dict[str, Any]) -> None:
    assert stack["driver"] in host.file("/proc/driver/nvidia/version").content_string.split()


def test_gpus_stay_initialised_now_and_at_boot(host: Host, gpus: int) -> None:
    service = host.service("nvidia-persistenced")
    assert service.is_running
    assert service.is_enabled
    assert query(host, "persistence_mode") == ["Enabled"] * gpus


def test_the_fabric_manager_is_the_drivers_where_there_are_switches(
    host: Host, stack: dict[str, Any], switches: int
) -> None:
    if not switches:
        assert not host.exists("nv-fabricmanager")
        return
    service = host.service("nvidia-fabricmanager")
    assert service.is_running, host.run("journalctl -u nvidia-fabricmanager -n 20 --no-pager").stdout
    assert service.is_enabled
    assert host.check_output("nv-fabricmanager --version").split()[-1] == stack["driver"]


def test_the_fabric_is_complete_where_gpus_can_tell(host: Host, gpus: int, switches: int) -> None:
    """Hopper and newer GPUs report it. An A100 says N/A for ever; there the start of CUDA proves the fabric."""
    telling = switches and all(float(capability) >= 9 for capability in query(host, "compute_cap"))
    wanted = "Completed, Success" if telling else "[N/A], [N/A]"
    assert query(host, "fabric.state,fabric.status") == [wanted] * gpus


def test_no_gpu_is_divided(host: Host) -> None:
    assert "Enabled" not in query(host, "mig.mode.current")


def test_the_toolkit_in_use_has_the_rows_version(host: Host, stack: dict[str, Any]) -> None:
    installed = json.loads(host.file("/usr/local/cuda/version.json").content_string)
    assert installed["cuda"]["version"] == stack["cuda"]


def test_cuda_starts_on_every_gpu(host: Host, gpus: int) -> None:
    assert host.check_output("python3 -c %s", (ROOT / CUDA_CHECK).read_text()) == str(gpus)


def test_cudnn_says_the_rows_version(host: Host, stack: dict[str, Any]) -> None:
    major, minor, patch, _ = (int(part) for part in stack["cudnn"].split("."))
    number = major * (10000 if major >= 9 else 1000) + minor * 100 + patch
    assert host.check_output("python3 -c %s %s", CUDNN, str(major)) == str(number)


@pytest.mark.parametrize("program", ["nvidia-smi", "nvidia-persistenced", "nvidia-ctk", "nv-fabricmanager"])
def test_nothing_moves_a_package_but_its_role(host: Host, switches: int, program: str) -> None:
    if program == "nv-fabricmanager" and not switches:
        pytest.skip("a host without NVSwitches")
    package = host.check_output("dpkg-query --search %s", f"/usr/bin/{program}").split(":")[0]
    assert package in host.check_output("apt-mark showhold").split()


def test_containers_can_ask_for_every_gpu(host: Host, gpus: int) -> None:
    devices = set(host.check_output("nvidia-ctk --quiet cdi list").split())
    assert {f"nvidia.com/gpu={index}" for index in range(gpus)} <= devices
    assert f"nvidia.com/gpu={gpus}" not in devices


def test_the_toolkit_is_the_rows(host: Host, stack: dict[str, Any]) -> None:
    assert host.check_output("nvidia-ctk --quiet --version").split()[-1] == stack["container_toolkit"]


def test_the_specification_is_of_the_driver_in_use(host: Host, stack: dict[str, Any]) -> None:
    text = host.file("/var/run/cdi/nvidia.yaml").content_string
    assert f"libcuda.so.{stack['driver']}" in text


def test_the_specification_is_written_at_boot_and_after_a_change_of_the_driver(host: Host) -> None:
    assert host.service("nvidia-cdi-refresh.service").is_enabled
    assert host.service("nvidia-cdi-refresh.path").is_enabled
    assert host.service("nvidia-cdi-refresh.path").is_running


def test_gpus_are_there_at_boot_before_they_are_described_to_containers(host: Host) -> None:
    assert "nvidia" in host.file("/etc/modules-load.d/nvidia.conf").content_string.splitlines()
    before = host.check_output("systemctl show --property=After --value nvidia-cdi-refresh.service").split()
    assert {"sysinit.target", "nvidia-persistenced.service"} <= set(before)


def test_containerd_offers_the_runtime_that_reads_it(host: Host) -> None:
    dump = host.check_output("containerd config dump")
    assert 'BinaryName = "/usr/bin/nvidia-container-runtime"' in dump
    assert host.file("/etc/nvidia-container-runtime/config.toml").contains('^ *mode = "cdi"$')
