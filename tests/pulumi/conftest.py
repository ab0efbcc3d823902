"""Stacks and a gateway for the tests of the program."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen_stack import config

from . import exposition, gateway_site

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"

KEY = "a-key-for-tests-0123456789"
ENGINE_KEY = "a-key-of-engines-for-tests-01"


def stack_values(stack: str) -> dict[str, Any]:
    """Keys of Pulumi.<stack>.yaml, without the project's prefix."""
    text = (PROGRAM / f"Pulumi.{stack}.yaml").read_text()
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}


@pytest.fixture
def local() -> dict[str, Any]:
    return completed()


def completed() -> dict[str, Any]:
    """Pulumi.local.yaml with the images and the key that are set when the stack is run."""
    values = stack_values("local")
    images = {
        name: f"{values['registry']}/qwen-onprem/{name}@sha256:{digit * 64}"
        for name, digit in (("runtime", "a"), ("gateway", "b"), ("prometheus", "c"), ("alertmanager", "d"))
    }
    return {**values, "images": {**values["images"], **images}, "apiKeys": {"default": KEY}, "engineKeys": [ENGINE_KEY]}


@pytest.fixture
def example() -> dict[str, Any]:
    """Pulumi.example.yaml with a key."""
    return {**stack_values("example"), "apiKeys": {"team": KEY}, "engineKeys": [ENGINE_KEY]}


@pytest.fixture(scope="session")
def settings() -> Any:
    return config.parse(completed())


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Iterator[gateway_site.Site]:
    with gateway_site.running(tmp_path, settings.gateway) as here:
        yield here


@pytest.fixture
def secure_site(tmp_path: Path, settings: Any) -> Iterator[gateway_site.Site]:
    """A gateway with a certificate."""
    gateway_site.write_certificate(tmp_path / "tls", "first")
    with gateway_site.running(tmp_path, settings.gateway.model_copy(update={"tls_secret": "gateway-tls"})) as here:
        yield here


@pytest.fixture
def other_gateway(site: gateway_site.Site, settings: Any, tmp_path: Path) -> Iterator[gateway_site.Site]:
    """A second gateway in front of the site's model servers, as another pod has them."""
    folder = tmp_path / "other"
    folder.mkdir()
    ports = {"model_port": site.model_port, "health_port": site.health_port}
    with gateway_site.running(folder, settings.gateway, **ports) as here:
        here.models.update(site.models)
        here.list_models()
        yield here


@pytest.fixture
def two_models(site: gateway_site.Site) -> gateway_site.Site:
    site.add_model(gateway_site.ONE)
    site.add_model(gateway_site.TWO)
    gateway_site.eventually(lambda: site.model_servers() == 2)
    return site


@pytest.fixture(scope="session")
def limited() -> Any:
    """Settings of the same stack with every optional part, so that nothing that could be read is left out."""
    values = completed()
    limits = {"default": {"inFlight": 8}, "keys": {"default": {"class": "batch"}}}
    evaluation = {"key": "default", "hardware": "8 x h100-80gb"}
    first, *others = values["models"]
    models = [{**first, "autoscaling": {"min": 2}}, *others]
    gateway = {**values["gateway"], "limits": limits}
    return config.parse({**values, "gateway": gateway, "evaluation": evaluation, "models": models})


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, limited: Any) -> Iterator[exposition.Site]:
    """A real Prometheus that has evaluated the stack's rules over what its parts were recorded to write."""
    with exposition.scraped(tmp_path_factory.mktemp("prometheus"), limited) as site:
        yield site
