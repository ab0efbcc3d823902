"""A server that warms is ready only afterwards, and what its engine compiled for it goes to the next start."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import get
from tests.support.runtime import Runtime, runtimes
from tests.support.waiting import wait_until

Start = Callable[..., Runtime]


def engine_answers(runtime: Runtime) -> bool:
    try:
        return get(runtime.port, "/health")[0] == 200
    except OSError:
        return False


@pytest.fixture
def start(tmp_path: Path, model_dir: Path) -> Iterator[Start]:
    with runtimes(tmp_path, model_dir, signal.SIGTERM, signal.SIGTERM) as make:
        yield make


def test_ready_comes_after_the_last_kind_of_request(start: Start) -> None:
    runtime = start("--warm")
    runtime.wait_ready()
    events = runtime.events()
    assert events[:3] == ["verified", "engine-started", "warming"]
    assert events[-2:] == ["warmed", "ready"]


def test_what_a_feature_compiles_is_kept_where_the_server_was_warmed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    for name, flags in (("cold", ()), ("warm", ("--warm",))):
        kept = tmp_path / "node" / name
        runtime = start("--compile-cache", str(kept), *flags, engine=("--fake-compile",))
        runtime.wait_ready()
        wait_until(kept.exists, "the kept copy")
        assert (kept / "xdg/vllm/ranks").exists() == (name == "warm")


def test_an_engine_that_fails_while_it_is_warmed_serves_all_the_same(start: Start) -> None:
    runtime = start("--warm", engine=("--fake-unwell",))
    runtime.wait_ready()
    assert runtime.events()[-2:] == ["warm-failed", "ready"]
    [failure] = [entry for entry in runtime.log() if entry.get("event") == "warm-failed"]
    assert "503" in failure["message"]


def test_an_engine_that_dies_while_it_is_warmed_ends_the_server(start: Start) -> None:
    runtime = start("--warm", engine=("--fake-frail",))
    assert runtime.wait() == 5
    assert "ready" not in runtime.events()


def test_a_signal_ends_a_server_that_is_being_warmed(start: Start) -> None:
    runtime = start("--warm", engine=("--fake-slow", "60"))
    wait_until(lambda: engine_answers(runtime), "the engine's answer")
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
