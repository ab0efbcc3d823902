"""KEDA and a model that follows the requests, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts import podman
from lab.mirror import server
from tests.support.followed import Followed, Kubectl, People, following, keda_installed, keda_is_built

LEAST, MOST, TARGET = 1, 3, 3


@pytest.fixture(scope="session")
def keda() -> Iterator[None]:
    if not keda_is_built() or not podman.alive(server.CONTAINER):
        pytest.skip("no lab is up, or KEDA is not built: `make up`, then `make autoscaling`")
    with keda_installed():
        yield


@pytest.fixture(scope="session")
def followed(keda: None, kubectl: Kubectl) -> Iterator[Followed]:
    """The first model with 1 to 3 replicas for 3 requests in flight each; it has 2 as KEDA takes over."""
    with following(kubectl, {"min": LEAST, "max": MOST, "target": TARGET}, spareReplicas=5) as model:
        yield model


@pytest.fixture
def people(model: str) -> People:
    return People(model)
