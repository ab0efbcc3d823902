"""Stacks for the tests of the program."""

from collections.abc import Iterator
from typing import Any

import pytest

from qwen_stack import config
from tests.support import stack_values

from . import exposition


@pytest.fixture
def local() -> dict[str, Any]:
    return stack_values.local()


@pytest.fixture
def example() -> dict[str, Any]:
    return stack_values.example()


@pytest.fixture(scope="session")
def settings() -> Any:
    return config.parse(stack_values.local())


@pytest.fixture(scope="session")
def limited() -> Any:
    """Settings of the same stack with every optional part, so that nothing that could be read is left out."""
    values = stack_values.local()
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
