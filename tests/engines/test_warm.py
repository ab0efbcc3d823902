"""A real vLLM that only keys open is warmed by its supervisor, which has none of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.support.client import COMPLETIONS
from tests.support.engines import TINY, engines


def test_the_supervisor_warms_an_engine_that_asks_for_keys(tiny_moe: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(b"a-key-of-the-gateways-0123456789").hexdigest() + "\n")
    parser = ("--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder")
    with engines(tiny_moe, tmp_path) as start:
        process, api, health = start("--keys", keys, "--warm", own=parser)
        process.wait_ready(health)
        lines = [json.loads(line) for line in process.log().splitlines() if '"source": "supervisor"' in line]
        [warmed] = [line["message"] for line in lines if line["event"] == "warmed"]
        assert " 0 refused" in warmed, lines
        assert api.exchange(COMPLETIONS, {"model": TINY, "prompt": "1", "max_tokens": 2})[0] == 401
