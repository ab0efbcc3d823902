"""The kernel's settings are as the inventory says, now and after a reboot."""

from __future__ import annotations

from testinfra.host import Host

from ..inventory import Expected


def test_kernel_parameters(host: Host, expected: Expected) -> None:
    wanted = {key: str(value) for key, value in expected["base_sysctls"].items()}
    assert {key: str(host.sysctl(key)) for key in wanted} == wanted


def test_kernel_parameters_survive_a_reboot(host: Host, expected: Expected) -> None:
    written = host.file("/etc/sysctl.d/60-kubernetes.conf").content_string
    for key, value in expected["base_sysctls"].items():
        assert f"{key}={value}" in written.replace(" ", "")


def test_swap_is_off_where_the_site_says_so(host: Host, expected: Expected) -> None:
    if expected["base_swap_off"]:
        assert host.check_output("swapon --show --noheadings") == ""
