"""Stacks and a gateway for the tests of the program."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen_stack import config
from qwen_stack.settings import GatewayTimeouts
from qwen_stack.specs import gateway as specs
from qwen_stack.specs import gateway_config
from qwen_stack.specs.gateway_routes import Route, Upstream

from . import gateway_site

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"

KEY = "a-key-for-tests-0123456789"


def stack_values(stack: str) -> dict[str, Any]:
    """Keys of Pulumi.<stack>.yaml, without the project's prefix."""
    text = (PROGRAM / f"Pulumi.{stack}.yaml").read_text()
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}


@pytest.fixture
def local() -> dict[str, Any]:
    """Pulumi.local.yaml with the images and the key that are set when the stack is run."""
    values = stack_values("local")
    images = {
        name: f"{values['registry']}/qwen-onprem/{name}@sha256:{digit * 64}"
        for name, digit in (("runtime", "a"), ("gateway", "b"), ("prometheus", "c"), ("alertmanager", "d"))
    }
    return {**values, "images": {**values["images"], **images}, "apiKeys": {"default": KEY}}


@pytest.fixture
def example() -> dict[str, Any]:
    """Pulumi.example.yaml with a key."""
    return {**stack_values("example"), "apiKeys": {"team": KEY}}


@pytest.fixture
def settings(local: dict[str, Any]) -> Any:
    return config.parse(local)


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Iterator[gateway_site.Site]:
    with running(tmp_path, settings.gateway) as here:
        yield here


@pytest.fixture
def secure_site(tmp_path: Path, settings: Any) -> Iterator[gateway_site.Site]:
    """A gateway with a certificate."""
    gateway_site.write_certificate(tmp_path / "tls", "first")
    with running(tmp_path, settings.gateway.model_copy(update={"tls_secret": "gateway-tls"})) as here:
        yield here


@contextlib.contextmanager
def running(tmp_path: Path, gateway: Any) -> Iterator[gateway_site.Site]:
    here = gateway_site.Site(tmp_path)
    route = Route(
        (
            Upstream("model-server", "tiny", "models.test", 2048),
            Upstream("model-server-second", "tiny-second", "variant.test", 1024),
        ),
        upstream_port=here.model_port,
        health_port=here.health_port,
        api_port=here.api_port,
        metrics_port=here.metrics_port,
        admin_port=here.admin_port,
        config_dir=str(tmp_path),
        keys_dir=str(tmp_path),
        tls_dir=str(tmp_path / "tls"),
        dns=("127.0.0.1", here.dns_port),
    )
    gateway = gateway.model_copy(update={"timeouts": GatewayTimeouts(request_seconds=3)})
    for name, text in gateway_config.files(gateway, route).items():
        (tmp_path / name).write_text(text)
    here.write_keys({"default": gateway_site.KEY, "second": gateway_site.KEY[::-1]})
    here.start(sys.executable, str(gateway_site.FAKES / "dns_server.py"), str(here.dns_port), str(tmp_path))
    here.start(*specs.command(gateway, str(tmp_path)))
    try:
        gateway_site.eventually(lambda: gateway_site.accepts("127.0.0.1", here.api_port))
        yield here
    finally:
        for process in reversed(here.running):
            process.terminate()
        for process in here.running:
            process.wait(timeout=60)


@pytest.fixture
def two_models(site: gateway_site.Site) -> gateway_site.Site:
    site.add_model(gateway_site.ONE)
    site.add_model(gateway_site.TWO)
    gateway_site.eventually(lambda: site.model_servers() == 2)
    return site
