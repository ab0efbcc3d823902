"""A request that the contract allows is answered, any other is refused in its shape, and none gets a 500."""

from __future__ import annotations

from typing import Any

import pytest
from schemathesis import GenerationMode

from tests.support.client import Client
from tests.support.openapi import for_examples, operations_of
from tests.support.waiting import ENGINE_PATIENCE_S

EXAMPLES = 100
OPERATIONS = ("GET /health", "GET /metrics", "GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions")


@pytest.fixture(scope="module")
def operations(client: Client) -> dict[str, Any]:
    return operations_of(client)


def test_the_contract_describes_every_path(operations: dict[str, Any]) -> None:
    assert set(operations) == set(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_request_gets_an_answer_of_the_contract(
    operations: dict[str, Any], label: str, mode: GenerationMode
) -> None:
    operation = operations[label]
    if mode is GenerationMode.NEGATIVE and not operation.body:
        return  # nothing in it can be wrong

    def ask(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body.setdefault("max_tokens", 2)  # an answer is long enough to be one
        response = case.call(timeout=ENGINE_PATIENCE_S)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()) == {"error"}
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    for_examples(operation, mode, ask, EXAMPLES)
