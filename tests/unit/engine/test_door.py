"""The door of an engine's server: who is let in, and how keys change."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine import door
from qwen_runtime.errors import UsageError

KEY, OTHER = "a-key-of-the-gateways-0123456789", "another-key-of-the-gateways-01234"
CHAT = "/v1/chat/completions"


def write(file: Path, *keys: str) -> None:
    file.write_text("".join(f"{hashlib.sha256(key.encode()).hexdigest()}\n" for key in keys))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "keys"
    write(file, KEY)
    monkeypatch.setenv(door.VARIABLE, str(file))
    return file


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def status(engine: door.Door, path: str = CHAT, key: str | None = None, kind: str = "http") -> Any:
    """Status of the answer, or the code with which a websocket is closed."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a refused request is not read")

    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    asyncio.run(engine({"type": kind, "path": path, "headers": headers}, receive, send))
    return sent[0].get("status", sent[0].get("code"))


@pytest.mark.parametrize("path", [CHAT, "/tokenize", "/invocations", "/v1/models/", "/metrics/", "/health/../v1/x"])
def test_a_path_that_computes_needs_the_key(keys: Path, path: str) -> None:
    engine = door.Door(answer)
    assert [status(engine, path), status(engine, path, OTHER), status(engine, path, KEY)] == [401, 401, 200]


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models"])
def test_probes_and_scrapes_need_none(keys: Path, path: str) -> None:
    assert status(door.Door(answer), path) == 200


def test_a_websocket_without_the_key_is_closed(keys: Path) -> None:
    assert status(door.Door(answer), kind="websocket") == 1008


def test_keys_change_while_the_engine_runs(keys: Path) -> None:
    engine = door.Door(answer)
    write(keys, KEY, OTHER)
    time.sleep(door.LOOK_S)
    assert [status(engine, key=KEY), status(engine, key=OTHER)] == [200, 200]
    write(keys, OTHER)
    time.sleep(door.LOOK_S)
    assert [status(engine, key=KEY), status(engine, key=OTHER)] == [401, 200]


def test_a_file_that_goes_away_opens_nothing_and_locks_nobody_out(keys: Path) -> None:
    engine = door.Door(answer)
    keys.unlink()
    time.sleep(door.LOOK_S)
    assert [status(engine), status(engine, key=KEY)] == [401, 200]


@pytest.mark.parametrize("text", [None, "", "a-key-in-clear-text\n"])
def test_a_file_without_digests_is_refused_before_the_engine_starts(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match="--keys") as refusal:
        door.read(file)
    assert "clear-text" not in str(refusal.value)


def test_the_supervisors_own_key_is_let_in_beside_those_of_the_file(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(door.OWN, hashlib.sha256(OTHER.encode()).hexdigest())
    engine = door.Door(answer)
    assert [status(engine, key=key) for key in (None, "", KEY, OTHER)] == [401, 401, 200, 200]
