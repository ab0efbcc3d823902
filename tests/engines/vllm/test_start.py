"""A second start of vLLM finds what the first one compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes import no_compilers
from tests.support.client import Client
from tests.support.engines import TINY, engines


def start_and_ask(model: Path, logs: Path) -> None:
    """A vLLM with graphs; all others in these tests are eager."""
    logs.mkdir()
    with engines(model, logs) as make:
        process, api, health = make(own=("--no-enforce-eager",))
        process.wait_ready(health)
        assert completes(api)


def completes(api: Client) -> bool:
    status, answer = api.ask("/v1/completions", {"model": TINY, "prompt": "def add(a, b):", "max_tokens": 4})
    return status == 200 and answer["usage"]["completion_tokens"] > 0


def test_a_kept_cache_spares_the_compiler_its_work(
    tiny_moe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled() -> set[Path]:
        return set(cache.glob("**/aotautograd/*"))

    cache = tmp_path / "cache"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache / "torch"))
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(cache / "vllm"))
    monkeypatch.setattr(no_compilers, "path", lambda: os.environ["PATH"])
    start_and_ask(tiny_moe, tmp_path / "cold")
    cold = compiled()
    assert cold
    start_and_ask(tiny_moe, tmp_path / "kept")
    assert compiled() == cold
