"""The drives named are one striped, mounted file system, and will be after a reboot."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from ..inventory import Expected


@pytest.fixture(autouse=True)
def has_an_array(expected: Expected) -> None:
    if not expected["nvme_devices"]:
        pytest.skip("the site names no drives")


def test_the_array_is_striped_over_exactly_the_drives_named(host: Host, expected: Expected) -> None:
    wanted = {
        host.check_output("realpath %s", name) for entry in expected["nvme_devices"] for name in links(host, entry)
    }
    details = host.check_output("mdadm --detail %s", f"/dev/md/{expected['nvme_array_name']}").splitlines()
    assert any(line.split()[:4] == ["Raid", "Level", ":", "raid0"] for line in details)
    assert {line.split()[-1] for line in details if "active sync" in line} == wanted


def links(host: Host, entry: str) -> list[str]:
    return [name for name in host.check_output(f"sh -c 'ls -d {entry}'").split() if "-part" not in name]


def test_it_is_mounted_with_the_options(host: Host, expected: Expected) -> None:
    mount = host.mount_point(expected["nvme_mount_point"])
    assert mount.exists
    assert mount.filesystem == "xfs"
    assert ("noatime" in mount.options) is ("noatime" in expected["nvme_mount_options"])


def test_the_mount_is_found_by_uuid_at_boot(host: Host, expected: Expected) -> None:
    lines = [line.split() for line in host.file("/etc/fstab").content_string.splitlines() if line and line[0] != "#"]
    [source] = [fields[0] for fields in lines if fields[1] == expected["nvme_mount_point"]]
    uuid = host.check_output("findmnt --noheadings --output UUID %s", expected["nvme_mount_point"])
    assert source == f"UUID={uuid}"


def test_the_array_is_assembled_by_its_name_at_boot(host: Host, expected: Expected) -> None:
    assert f"ARRAY /dev/md/{expected['nvme_array_name']} " in host.file("/etc/mdadm/mdadm.conf").content_string
