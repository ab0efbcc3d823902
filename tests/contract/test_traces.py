"""vLLM takes the stack's address for its spans, and sends them there as a part of the client's trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwen_runtime.engine import vllm

from qwen_stack.specs import traces

SCRIPT = Path(__file__).with_name("trace_questions.py")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_vllm_sends_a_span_of_the_clients_trace_to_the_collector(ask: Callable[[Path, Any], Any]) -> None:
    asked = {
        "flag": vllm.TRACES_FLAG,
        "path": traces.PATH,
        "environment": traces.environment("model-server"),
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    answer = ask(SCRIPT, asked)
    assert answer["read"]
    assert {path for path, _ in answer["received"]} == {traces.PATH}
    sent = "".join(body for _, body in answer["received"])
    assert TRACE in sent
    assert b"model-server".hex() in sent
