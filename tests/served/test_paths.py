"""The paths that the gateway forwards are those that the served engine has."""

from __future__ import annotations

from typing import Any

import pytest
from qwen_runtime.engine import vllm

from tests.support.client import Client

WORDS = "Say hello."
CHAT = {"messages": [{"role": "user", "content": WORDS}], "max_tokens": 2}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": WORDS, "max_tokens": 2},
    "/v1/responses": {"input": WORDS, "max_output_tokens": 2},
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": {"messages": CHAT["messages"]},
    "/tokenize": {"prompt": WORDS},
    "/detokenize": {"tokens": [1, 2]},
}


def test_every_forwarded_path_is_asked_here() -> None:
    assert set(BODIES) == set(vllm.PATHS)


@pytest.mark.parametrize("path", BODIES)
def test_a_forwarded_path_is_one_that_the_engine_documents_and_answers(
    served: Client, schema: dict[str, Any], path: str
) -> None:
    assert "post" in schema["paths"][path]
    model = served.ask("/v1/models")[1]["data"][0]["id"]
    status, answer = served.ask(path, {"model": model, **BODIES[path]})
    assert status == 200, answer
