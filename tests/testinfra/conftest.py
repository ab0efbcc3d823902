"""Each folder here proves one group of the inventory; its tests run once per host of that group, and only read.

SITE_INVENTORY names the inventory (default: inventory/local), so that the same tests serve every site.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

from .connection import connect
from .inventory import Expected, hosts


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        metafunc.parametrize("node", hosts(Path(metafunc.module.__file__).parent.name), scope="session")


@pytest.fixture(scope="session")
def expected(node: str) -> Expected:
    return Expected(node)


@pytest.fixture(scope="session")
def host(node: str, expected: Expected) -> Host:
    return connect(node, expected)
