"""preflight names every shortfall of a host at once, each with found, needed and remedy."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_gpus import assess_gpus
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_host import assess_host
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_packages import assess_packages
from ansible_collections.qwen_onprem.hosts.plugins.filter.preflight_plan import assess_plan
from qwen_runtime.sizing import gpus

from .by_path import ROLES

VARIABLES = yaml.safe_load((ROLES / "preflight/vars/main.yml").read_text())
DEFAULTS = yaml.safe_load((ROLES / "preflight/defaults/main.yml").read_text())

NEEDED: dict[str, Any] = {
    "gpus": 8,
    "gpu_models": [],
    "gpu_memory_min_gb": 80,
    "nvswitches": 4,
    "memory_min_gb": 512,
    "storage_min_gb": 2000,
    "filesystems_min_gb": {"/var/lib": 100},
    "kernel_min": "5.15",
    "secure_boot_allowed": False,
    "clock_offset_max_s": 60,
    "clock_sync_required": False,
    "ports": DEFAULTS["preflight_ports"],
    "mounts": [],
    "decided_packages": [],
    "plans": [],
    "plan_files": {},
    "unseen": [],
    "known_gpus": VARIABLES["__preflight_known_gpus"],
    "known_nvswitches": VARIABLES["__preflight_nvswitches"],
}

REMOUNT = "Name it in /etc/fstab and mount it: mount /mnt/backup."


def devices(product: str, count: int, kind: str = "0x030200") -> list[dict[str, str]]:
    return [{"address": f"0000:{n:02x}:00.0", "id": f"10de:{product}", "class": kind} for n in range(count)]


def dgx_h100() -> dict[str, Any]:
    """Answer of inspect_host.py on a machine that was just racked."""
    return {
        "nvidia_devices": devices("2330", 8) + devices("22a3", 4, "0x068000"),
        "memory_bytes": 2_164_000_000_000,
        "packages": [],
        "drives_bytes": {f"nvme{n}n1": 3_840_755_982_336 for n in range(8)},
        "filesystems_bytes": {"/var/lib": 1_888_000_000_000},
        "kernel": "6.8.0-60-generic",
        "secure_boot": False,
        "clock_offset_s": 1.2,
        "clock_disciplined": False,
        "mounted": [],
        "port_holders": {},
    }


def assess(hosts: dict[str, Any], host: str, needed: dict[str, Any]) -> list[dict[str, Any]]:
    host_rows = assess_host(hosts[host], needed) + assess_packages(hosts[host], needed)
    return host_rows + assess_gpus(hosts, host, needed) + assess_plan(hosts, host, needed)


def failures(answer: dict[str, Any], **changed: Any) -> dict[str, str]:
    """Name of each failed row to its whole message."""
    rows = assess({"dgx1": answer}, "dgx1", {**NEEDED, **changed})
    return {row["name"]: f"{row['found']} / {row['needed']} / {row['remedy']}" for row in rows if not row["ok"]}


def test_a_dgx_h100_passes() -> None:
    assert failures(dgx_h100()) == {}


def test_every_shortfall_is_named_at_once_with_found_needed_and_remedy() -> None:
    answer = dgx_h100()
    answer["nvidia_devices"] = devices("2330", 7)
    answer["memory_bytes"] = 256 * 10**9
    answer["drives_bytes"] = {"nvme0n1": 960 * 10**9}
    answer["kernel"] = "5.10.0-32-amd64"
    answer["secure_boot"] = True
    answer["clock_offset_s"] = -7200.0
    answer["port_holders"] = {"6443": ["nginx"]}
    named = failures(answer)
    assert set(named) == {
        *("GPUs", "NVSwitches", "memory", "NVMe storage", "kernel", "Secure Boot", "clock", "port 6443"),
    }
    assert named["GPUs"].startswith("7 on the PCI bus / 8 / ")
    assert "256 GB / 512 GB" in named["memory"]
    assert "-7200.0 s" in named["clock"]
    assert "held by nginx" in named["port 6443"]
    assert "preflight_secure_boot_allowed" in named["Secure Boot"]


def test_gpus_with_too_little_memory_are_refused() -> None:
    answer = dgx_h100()
    answer["nvidia_devices"] = devices("20b0", 8) + devices("1af1", 6, "0x068000")
    assert failures(answer) == {
        "GPU memory": "40 GB / 80 GB each / Take larger GPUs, or a plan with a smaller model and a lower"
        " preflight_gpu_memory_min_gb."
    }


def test_software_that_came_with_the_system_needs_the_sites_word() -> None:
    answer = dgx_h100() | {"packages": ["containerd.io", "docker-ce", "docker-ce-cli", "nvidia-driver-550-server"]}
    message = failures(answer, decided_packages=["docker-ce*"])["preinstalled software"]
    assert message.startswith("containerd.io, nvidia-driver-550-server / ")
    assert "docs/operate/dgx-os.md" in message
    assert failures(answer, decided_packages=["docker-ce*", "containerd.io", "nvidia-*-server"]) == {}


def test_mixed_gpus_in_one_host_are_refused() -> None:
    answer = dgx_h100()
    answer["nvidia_devices"][0]["id"] = "10de:20b2"
    assert "1 x A100-SXM4-80GB, 7 x H100-SXM" in failures(answer)["GPU model"]


def test_mixed_gpus_across_hosts_are_refused_on_each_with_the_hosts_named() -> None:
    other = dgx_h100()
    other["nvidia_devices"] = devices("2335", 8) + devices("22a3", 4, "0x068000")
    hosts = {"dgx1": dgx_h100(), "dgx2": other, "cp1": dgx_h100() | {"nvidia_devices": []}}
    for host in ("dgx1", "dgx2"):
        rows = [row for row in assess(hosts, host, NEEDED) if not row["ok"]]
        assert [row["found"] for row in rows] == ["H100-SXM on dgx1; H200-SXM on dgx2"]


def test_a_model_that_the_site_did_not_ask_for_is_refused() -> None:
    assert "one model, of H200-SXM" in failures(dgx_h100(), gpu_models=["H200-SXM"])["GPU model"]


@pytest.mark.parametrize("name", ["H100-SXM", "h100-80gb", "NVIDIA H100 80GB HBM3"])
def test_a_model_goes_by_its_name_here_for_the_planner_and_for_nvidia_smi(name: str) -> None:
    assert failures(dgx_h100(), gpu_models=[name]) == {}


def test_every_name_of_a_planned_gpu_is_known_to_the_planner_too() -> None:
    for gpu in NEEDED["known_gpus"].values():
        if "planned_as" not in gpu or gpu["model"] == "H20":  # H20 comes in two sizes, which the planner asks for
            continue
        for name in (gpu["model"], gpu.get("smi_name", gpu["model"])):
            assert gpus.get(name).name == gpu["planned_as"]


def test_an_unknown_gpu_is_named_by_its_id() -> None:
    answer = dgx_h100()
    answer["nvidia_devices"] = devices("9999", 8) + devices("22a3", 4, "0x068000")
    assert failures(answer)["GPU ids"].startswith("10de:9999 / ")


def test_a_control_plane_host_needs_no_gpu() -> None:
    answer = dgx_h100() | {"nvidia_devices": []}
    assert failures(answer, gpus=0, nvswitches=0) == {}


def test_a_host_in_service_holds_its_own_ports() -> None:
    holders = {"6443": ["kube-apiserver"], "10250": ["kubelet"], "2379": ["etcd"], "10257": ["kube-controller"]}
    assert failures(dgx_h100() | {"port_holders": holders}) == {}


def test_a_holder_that_cannot_be_named_is_still_refused() -> None:
    assert "held by an unknown process" in failures(dgx_h100() | {"port_holders": {"6443": []}})["port 6443"]


def test_a_share_that_is_not_mounted_is_refused_by_name() -> None:
    answer = dgx_h100() | {"mounted": ["/mnt/models"]}
    named = failures(answer, mounts=["/mnt/models", "/mnt/backup"])
    assert named == {"mount /mnt/backup": f"nothing mounted there / the site's share / {REMOUNT}"}


def test_secure_boot_and_an_undisciplined_clock_are_the_sites_choice() -> None:
    answer = dgx_h100() | {"secure_boot": True}
    assert failures(answer, secure_boot_allowed=True) == {}
    assert set(failures(dgx_h100(), clock_sync_required=True)) == {"clock synchronisation"}


@pytest.mark.parametrize(("kernel", "new_enough"), [("5.15.0-1", True), ("5.4.0-216", False), ("6.1.0-50-amd64", True)])
def test_kernels_are_compared_by_number(kernel: str, new_enough: bool) -> None:
    assert ("kernel" not in failures(dgx_h100() | {"kernel": kernel})) is new_enough


def test_what_was_found_is_left_as_it_was() -> None:
    answer = dgx_h100()
    before = deepcopy(answer)
    failures(answer)
    assert answer == before


def test_every_known_gpu_has_a_model_and_a_memory() -> None:
    for gpu in NEEDED["known_gpus"].values():
        assert gpu["model"]
        assert gpu["memory_gb"] > 0


# The parts of the reader's answer that matter to a host.
HOSTS = {
    "gpu": "h100-80gb",
    "gpus_per_node": 8,
    "nodes": 1,
    "memory_bytes": 500 * 2**30,
    "disk_bytes": 964 * 10**9,
}


def plans(**changes: Any) -> list[dict[str, Any]]:
    document = {"hosts": {**HOSTS, **changes}}
    return [{"__preflight_plan_file": "plan.json", "rc": 0, "stdout": json.dumps(document)}]


def test_a_plan_for_these_hosts_passes() -> None:
    assert failures(dgx_h100(), plans=plans()) == {}


def test_hosts_with_other_gpus_than_the_plans_are_refused() -> None:
    answer = dgx_h100()
    answer["nvidia_devices"] = devices("2335", 8) + devices("22a3", 4, "0x068000")
    named = failures(answer, plans=plans())
    assert named["plan: GPUs"].startswith("8 x h200-141gb / 8 x h100-80gb")


def test_a_plan_for_more_hosts_than_there_are_is_refused() -> None:
    named = failures(dgx_h100(), plans=plans(nodes=2))
    assert named == {"plan: hosts": f"1 with these GPUs / 2 / {named['plan: hosts'].split(' / ')[2]}"}


def test_a_host_with_less_memory_or_disk_than_the_plan_counts_on_is_refused() -> None:
    answer = dgx_h100() | {"memory_bytes": 520 * 10**9, "drives_bytes": {"nvme0n1": 900 * 10**9}}
    assert set(failures(answer, plans=plans(), storage_min_gb=0)) == {"plan: memory", "plan: storage"}


def test_a_control_plane_host_is_no_part_of_the_plan() -> None:
    assert failures(dgx_h100() | {"nvidia_devices": []}, gpus=0, nvswitches=0, plans=plans()) == {}


def test_a_server_with_sata_drives_is_judged_by_the_file_system_that_will_hold_its_data() -> None:
    server = dgx_h100() | {"nvidia_devices": [], "drives_bytes": {}}
    roomy = server | {"filesystems_bytes": {"/var/lib": 440 * 10**9}}
    small = server | {"filesystems_bytes": {"/var/lib": 40 * 10**9}}
    assert failures(roomy, gpus=0, nvswitches=0, storage_min_gb=0) == {}
    named = failures(small, gpus=0, nvswitches=0, storage_min_gb=0)
    assert named["file system of /var/lib"].startswith("40 GB / 100 GB / Enlarge it")
