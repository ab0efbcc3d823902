"""Gateways on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config
from tests.support import stack_values

from .site import ONE, TWO, Site, eventually, running, write_certificate


@pytest.fixture(scope="session")
def settings() -> Any:
    return config.parse(stack_values.local())


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Iterator[Site]:
    with running(tmp_path, settings.gateway) as here:
        yield here


@pytest.fixture
def secure_site(tmp_path: Path, settings: Any) -> Iterator[Site]:
    """A gateway with a certificate."""
    write_certificate(tmp_path / "tls", "first")
    with running(tmp_path, settings.gateway.model_copy(update={"tls_secret": "gateway-tls"})) as here:
        yield here


@pytest.fixture
def other_gateway(site: Site, settings: Any, tmp_path: Path) -> Iterator[Site]:
    """A second gateway in front of the site's model servers, as another pod has them."""
    folder = tmp_path / "other"
    folder.mkdir()
    ports = {"model_port": site.model_port, "health_port": site.health_port}
    with running(folder, settings.gateway, **ports) as here:
        here.models.update(site.models)
        here.list_models()
        yield here


@pytest.fixture
def two_models(site: Site) -> Site:
    site.add_model(ONE)
    site.add_model(TWO)
    eventually(lambda: site.model_servers() == 2)
    return site
