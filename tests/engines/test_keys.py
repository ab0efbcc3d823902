"""The door of both engines: what needs a key, and that probes and scrapes go on without one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from qwen_runtime.engine.registry import servers

from tests.support.client import COMPLETIONS, Client
from tests.support.engines import TINY, engines

KEY = "a-key-of-the-gateways-0123456789"
BODY = {"model": TINY, "prompt": "1, 2, 3", "max_tokens": 2}


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_only_a_request_with_the_key_is_computed(tiny_moe: Path, tmp_path: Path, engine: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(KEY.encode()).hexdigest() + "\n")
    with engines(tiny_moe, tmp_path) as start:
        process, api, health = start("--keys", keys, engine=engine)
        process.wait_ready(health)
        known = Client(api.port, KEY)
        assert known.ask(COMPLETIONS, BODY)[0] == 200
        for path in (*servers()[engine].PATHS, "/invocations", "/v1/models/x"):
            assert api.exchange(path, BODY)[0] == 401, path
            assert Client(api.port, "another").exchange(path, BODY)[0] == 401, path
        assert [api.exchange(path)[0] for path in ("/health", "/metrics", "/v1/models")] == [200, 200, 200]
        assert health.exchange("/health/ready")[0] == 200
