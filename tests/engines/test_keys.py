"""The door of both engines: what needs a key, that probes go on without one, and the line that each request leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine.registry import servers

from tests.support.client import COMPLETIONS, Client
from tests.support.engines import TINY, engines

KEY = "a-key-of-the-gateways-0123456789"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY: dict[str, Any] = {"model": TINY, "prompt": "1, 2, 3", "max_tokens": 2}


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_only_a_request_with_the_key_is_computed(tiny_moe: Path, tmp_path: Path, engine: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(KEY.encode()).hexdigest() + "\n")
    with engines(tiny_moe, tmp_path) as start:
        process, api, health = start("--keys", keys, engine=engine)
        process.wait_ready(health)
        known = Client(api.port, KEY)
        known.headers |= {"X-Request-Id": "one-of-the-gateways", "traceparent": TRACE}
        assert known.ask(COMPLETIONS, BODY)[0] == 200
        for path in (*servers()[engine].PATHS, "/invocations", "/v1/models/x"):
            assert api.exchange(path, BODY)[0] == 401, path
            assert Client(api.port, "another").exchange(path, BODY)[0] == 401, path
        assert [api.exchange(path)[0] for path in ("/health", "/metrics", "/v1/models")] == [200, 200, 200]
        assert health.exchange("/health/ready")[0] == 200
        lines = [json.loads(line) for line in process.log().splitlines() if '"request_id"' in line]
    [asked] = [(line["request_id"], line["traceparent"], line["path"], line["status"]) for line in lines]
    assert asked == ("one-of-the-gateways", TRACE, COMPLETIONS, 200)
    assert BODY["prompt"] not in process.log()
