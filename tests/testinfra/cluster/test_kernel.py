"""The kernel's settings are as the inventory says, now and after a reboot."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from ..inventory import Expected

ULIMIT = {"nofile": "n", "memlock": "l", "nproc": "u", "core": "c"}


def test_kernel_parameters(host: Host, expected: Expected) -> None:
    wanted = {key: str(value) for key, value in expected["base_sysctls"].items()}
    assert {key: str(host.sysctl(key)) for key in wanted} == wanted


def test_kernel_parameters_survive_a_reboot(host: Host, expected: Expected) -> None:
    written = host.file("/etc/sysctl.d/60-kubernetes.conf").content_string
    for key, value in expected["base_sysctls"].items():
        assert f"{key}={value}" in written.replace(" ", "")


def test_kernel_modules_are_loaded_now_and_at_boot(host: Host, expected: Expected) -> None:
    for module in expected["base_kernel_modules"]:
        assert host.file(f"/sys/module/{module}").is_directory
        assert host.run(f"grep --quiet --recursive --line-regexp {module} /etc/modules-load.d").rc == 0


def test_forbidden_kernel_modules_are_not_loaded_and_cannot_be(host: Host, expected: Expected) -> None:
    for module in expected["base_kernel_blacklist"]:
        assert not host.file(f"/sys/module/{module}").exists
        assert f"install {module} /bin/false" in host.check_output("modprobe --showconfig")


def test_hugepages_are_reserved(host: Host, expected: Expected) -> None:
    if not expected["base_hugepages"]:
        pytest.skip("the site reserves none")
    assert host.sysctl("vm.nr_hugepages") >= expected["base_hugepages"]


def test_transparent_hugepages_are_used_as_the_inventory_says(host: Host, expected: Expected) -> None:
    wanted = expected["base_transparent_hugepages"]
    if not wanted:
        pytest.skip("the site leaves them to the kernel")
    assert f"[{wanted}]" in host.file("/sys/kernel/mm/transparent_hugepage/enabled").content_string


def test_every_processor_has_the_governor(host: Host, expected: Expected) -> None:
    governors = host.run("cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor").stdout.split()
    if not (expected["base_cpu_governor"] and governors):
        pytest.skip("the processors have no governor, or the site leaves it to the kernel")
    assert set(governors) == {expected["base_cpu_governor"]}


def test_a_login_session_has_the_limits(host: Host, expected: Expected) -> None:
    for item, value in expected["base_limits"].items():
        assert host.check_output(f"bash -c 'ulimit -H{ULIMIT[item]}'") == str(value)


def test_time_comes_from_the_sites_servers(host: Host, expected: Expected) -> None:
    servers = expected["base_time_servers"]
    if not servers:
        pytest.skip("the clock is not the host's to set")
    assert host.service("chrony").is_running
    assert host.service("chrony").is_enabled
    assert set(host.check_output("chronyc -N -c sources | cut -d, -f3").split()) == set(servers)


def test_swap_is_off_where_the_site_says_so(host: Host, expected: Expected) -> None:
    if expected["base_swap_off"]:
        assert host.check_output("swapon --show --noheadings") == ""
