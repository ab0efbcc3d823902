"""Requests that the served engine's own schema allows, and others, all get an answer through the gateway.

Fewer examples than tests/engines/vllm/test_contract.py asks an engine by itself for, and none of its own findings.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from lab.cluster.ask import ENDPOINT
from tests.served.fields import BODIES
from tests.support.client import Client
from tests.support.openapi import for_examples
from tests.support.vllm_requests import known_to_fail
from tests.support.waiting import ENGINE_PATIENCE_S

EXAMPLES = 25


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_request_gets_an_answer(served: Client, schema: dict[str, Any], path: str, mode: GenerationMode) -> None:
    operation = schemathesis.openapi.from_dict(schema)[path]["POST"]

    def check(case: Any) -> None:
        if known_to_fail(case.body):
            return
        if isinstance(case.body, dict):
            case.body |= {"max_tokens": 2, "max_completion_tokens": 2}
        response = case.call(base_url=ENDPOINT.removesuffix("/v1"), headers=served.headers, timeout=ENGINE_PATIENCE_S)
        assert response.status_code < 500, response.text

    for_examples(operation, mode, check, EXAMPLES)
