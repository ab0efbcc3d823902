"""Each folder here proves one group of the inventory; its tests run once per host of that group, and only read.

SITE_INVENTORY names the inventory (default: inventory/local), so that the same tests serve every site.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from .inventory import Expected, hosts


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        metafunc.parametrize("node", hosts(Path(metafunc.module.__file__).parent.name), scope="session")


@pytest.fixture(scope="session")
def expected(node: str) -> Expected:
    return Expected(node)


@pytest.fixture(scope="session")
def host(node: str, expected: Expected) -> Host:
    """The host over the ssh connection that Ansible itself would use."""
    user = expected.get("ansible_user", "root")
    extra = [*shlex.split(expected.get("ansible_ssh_common_args", "")), "-o", "BatchMode=yes"]
    return testinfra.get_host(
        f"ssh://{user}@{expected.get('ansible_host', node)}",
        ssh_identity_file=expected.get("ansible_ssh_private_key_file"),
        ssh_extra_args=shlex.join(extra),
        sudo=bool(expected.get("ansible_become", False)),
        controlpersist=10,
    )
