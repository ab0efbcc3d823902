"""The site of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.kubernetes_api import cluster
from tests.fakes.prometheus_api import measured

from .faulty_site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with cluster() as api, measured() as prometheus:
        yield Site(api, prometheus)
