"""Requests that vLLM's own schema allows, and others, all get an answer, and the next good request too.

The paths are those that the gateway hands on. test_trouble.py has what vLLM is known to answer with a 500.
"""

from __future__ import annotations

from typing import Any

import pytest
from schemathesis import GenerationMode

from tests.support.client import CHAT, COMPLETIONS, Client, Json
from tests.support.openapi import for_examples, operations_of
from tests.support.vllm_requests import GOOD, USER, answer, known_to_fail
from tests.support.waiting import ENGINE_PATIENCE_S

EXAMPLES = 60
OPERATIONS = ("GET /health", "GET /metrics", "GET /v1/models", f"POST {CHAT}", f"POST {COMPLETIONS}")
REQUESTS: dict[str, Json] = {CHAT: {"messages": [USER], "max_tokens": 2}, COMPLETIONS: {**GOOD, "max_tokens": 2}}


@pytest.fixture(scope="module")
def operations(client: Client) -> dict[str, Any]:
    return operations_of(client)


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_request_gets_an_answer(
    client: Client, operations: dict[str, Any], label: str, mode: GenerationMode
) -> None:
    operation, first = operations[label], answer(client)
    if mode is GenerationMode.NEGATIVE and not operation.body:
        return  # nothing in it can be wrong

    def check(case: Any) -> None:
        if known_to_fail(case.body):
            return
        if isinstance(case.body, dict):
            case.body.setdefault("max_tokens", 2)  # an answer is long enough to be one
        response = case.call(timeout=ENGINE_PATIENCE_S)
        assert response.status_code < 500, response.text
        assert answer(client) == first

    for_examples(operation, mode, check, EXAMPLES)


@pytest.mark.parametrize("path", REQUESTS)
def test_a_good_request_with_any_field_of_the_schema_gets_an_answer(
    client: Client, operations: dict[str, Any], path: str
) -> None:
    """Several random fields at once are nearly always refused; one beside good ones is often taken."""
    first, statuses = answer(client), set()

    def check(case: Any) -> None:
        for field in case.body:
            status, _, text = client.exchange(path, {**REQUESTS[path], field: case.body[field]})
            statuses.add(status)
            assert status < 500, text
        assert answer(client) == first

    for_examples(operations[f"POST {path}"], GenerationMode.POSITIVE, check, EXAMPLES)
    assert statuses >= {200, 400}, "some are answered, some refused"
