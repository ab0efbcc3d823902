"""Examples of requests that an OpenAPI schema allows, or that it forbids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from schemathesis import GenerationMode

from tests.support.client import Client


def operations_of(client: Client) -> dict[str, Any]:
    """Operations of the server's own schema, by method and path."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{client.port}/openapi.json")
    return {operation.label: operation for operation in (result.ok() for result in schema.get_all_operations())}


def for_examples(operation: Any, mode: GenerationMode, check: Callable[[Any], None], examples: int) -> None:
    """Runs the check on that number of examples, or on one if the operation has no body."""
    settings = hypothesis.settings(
        max_examples=examples if operation.body else 1,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    settings(hypothesis.given(operation.as_strategy(generation_mode=mode))(check))()
