"""A start finds what an earlier one has compiled, and no start depends on it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runtime import Runtime, runtimes
from tests.support.waiting import wait_until

Start = Callable[..., Runtime]
COMPILE = "--fake-compile"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    node = tmp_path / "node"
    node.mkdir()
    return node / "image-and-plan"


@pytest.fixture
def start(tmp_path: Path, model_dir: Path, kept: Path) -> Iterator[Start]:
    with runtimes(tmp_path, model_dir, signal.SIGTERM, signal.SIGTERM) as make:
        yield lambda *engine: make("--compile-cache", str(kept), engine=(COMPILE, *engine))


def said(runtime: Runtime) -> list[str]:
    """Lines of the engine about its graph."""
    return [entry["message"] for entry in runtime.log() if entry["message"].startswith("graph")]


def serve(start: Start, *engine: str) -> Runtime:
    """Starts a server, waits until it is ready and its work is kept, and ends it."""
    runtime = start(*engine)
    runtime.wait_ready()
    done = {"compile-cache-kept", "compile-cache-taken", "compile-cache-not-kept"}
    wait_until(lambda: done & set(runtime.events()), "the end of the keeping")
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    return runtime


def test_the_next_start_finds_what_the_first_has_compiled(start: Start, kept: Path) -> None:
    assert said(serve(start)) == ["graph made"]
    assert said(serve(start)) == ["graph found: compiled"]
    assert [folder.name for folder in kept.parent.iterdir()] == [kept.name], "nothing half-made lies beside it"


@pytest.mark.parametrize("damage", ["truncated", "missing", "no listing", "listing cut"])
def test_a_damaged_cache_is_thrown_away_and_made_anew(start: Start, kept: Path, damage: str) -> None:
    serve(start)
    graph, listing = kept / "xdg/vllm/graph", kept / "digests.json"
    if damage == "truncated":
        os.truncate(graph, 3)
    elif damage == "missing":
        graph.unlink()
    elif damage == "no listing":
        listing.unlink()
    else:
        os.truncate(listing, 20)
    runtime = serve(start)
    assert said(runtime) == ["graph made"]
    assert "compile-cache-refused" in runtime.events()
    assert said(serve(start)) == ["graph found: compiled"]


def test_a_cache_that_kills_its_engine_is_used_once(start: Start, kept: Path) -> None:
    serve(start)
    dying = start("--fake-allergic")
    assert dying.wait() != 0
    assert not kept.exists()
    assert said(serve(start, "--fake-allergic")) == ["graph made"]


def test_a_folder_that_takes_nothing_keeps_no_engine_from_serving(start: Start, kept: Path) -> None:
    kept.parent.rmdir()
    kept.parent.write_text("a file where the folder should be")
    assert said(serve(start)) == ["graph made"]


def test_a_listing_that_leads_outside_is_refused(start: Start, kept: Path, tmp_path: Path) -> None:
    serve(start)
    (kept.parent / "stranger").write_text("x")
    (kept / "digests.json").write_text(json.dumps({"../../../../stranger": "0" * 64}))
    assert said(serve(start)) == ["graph made"]


def test_the_oldest_copies_of_other_images_and_plans_are_forgotten(start: Start, kept: Path) -> None:
    for number in range(6):
        old = kept.parent / f"old-{number}"
        old.mkdir()
        (old / "digests.json").write_text("{}")
        os.utime(old, (number, number))
    serve(start)
    wait_until(lambda: len(list(kept.parent.iterdir())) == 4, "the end of the old copies")
    assert {folder.name for folder in kept.parent.iterdir()} == {kept.name, "old-3", "old-4", "old-5"}
