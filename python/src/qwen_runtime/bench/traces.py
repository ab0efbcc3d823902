"""Replay of recorded sessions without their text, from traces in the form of InferenceX (SemiAnalysis' AgentX, Weka).

A session has `block_size`, `hash_id_scope` and `requests`, each with the seconds `t` since its start, the tokens `in`
and `out`, and `hash_ids`, one for each block of the prompt. Blocks with one id had one text, so that a replay gives
each id words of its own: what was found in a prefix cache then is found again, and nobody's text is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.bench.loads import LOADS, WORDS, Session, Turn, sessions
from qwen_runtime.errors import UsageError

SCOPES = ("local", "global")
"""An id means a block of its session, or of all sessions alike."""
CALLS = ("n", "s")
"""Kinds of requests, streamed and not; all are streamed here. A `subagent` holds requests of its own."""


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded request."""

    prompt_tokens: int
    answer_tokens: int
    blocks: tuple[int, ...]
    wait_s: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded session; requests of a subagent stand where it was begun."""

    is_global: bool
    """Whether an id means the same block in every session."""
    block_tokens: int
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    parts: tuple[str, ...]
    answer_tokens: int
    wait_s: float

    @property
    def text(self) -> str:
        """The prompt, put together when it is sent: those of a long session have most of their text in common."""
        return " ".join(self.parts)


@dataclass(frozen=True, slots=True)
class Trace:
    digest: str
    recorded: tuple[Recorded, ...]

    def sessions(self, count: int, seed: int, *, scale: float, warmup: bool = False) -> list[Session]:
        """The first sessions of the trace; a warm-up asks chat questions, which leave its blocks unknown."""
        if warmup:
            return sessions(LOADS["chat"], count, seed, scale=scale, warmup=True)
        return [
            Session(f"s{number}", tuple(_turns(each, seed, number, scale)), grows=False)
            for number, each in enumerate(self.recorded[:count])
        ]

    def told(self) -> dict[str, Any]:
        return {"name": "trace", "sha256": self.digest, "recorded_sessions": len(self.recorded)}


def _turns(recorded: Recorded, seed: int, session: int, scale: float) -> Iterator[Turn]:
    """Turns of one session. `scale` shrinks blocks, answers and waits alike, so that the share in common stays."""
    scope = "all" if recorded.is_global else f"session {session}"
    block_tokens = max(1, round(scale * recorded.block_tokens))
    known: dict[int, str] = {}
    for number, call in enumerate(recorded.calls):
        tokens = max(1, round(scale * call.prompt_tokens))
        for block in call.blocks:
            if block not in known:
                known[block] = _words(f"{seed} {scope} {block}", block_tokens)
        whole = min(len(call.blocks), tokens // block_tokens)
        parts = [known[block] for block in call.blocks[:whole]]
        if rest := tokens - whole * block_tokens:
            parts.append(_words(f"{seed} {session} rest {number}", rest))
        yield ReplayedTurn(tuple(parts), max(1, round(scale * call.answer_tokens)), scale * call.wait_s)


def _words(seed: str, count: int) -> str:
    """A text of about `count` tokens, the same for the same seed."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def read(path: Path) -> Trace:
    """The trace in a file: one session in JSON, or one a line. UsageError where it is none, with the place named."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "a trace", "Correct the path.") from error
    recorded = tuple(_recorded(path, number, text) for number, text in enumerate(_texts(content), 1))
    if not recorded:
        raise _no_trace(path, 1, "nothing")
    return Trace(hashlib.sha256(content).hexdigest(), recorded)


def _no_trace(path: Path, number: int, found: str) -> UsageError:
    return UsageError(
        f"{path}, session {number}: {found}",
        "sessions with block_size, hash_id_scope and requests, each with t, in, out and hash_ids",
        "Correct the file; docs/measure.md has an example.",
    )


def _texts(content: bytes) -> list[bytes]:
    """The sessions of a file: the whole of it where it is one document, else its lines."""
    with contextlib.suppress(ValueError):
        json.loads(content)
        return [content]
    return [line for line in content.splitlines() if line.strip()]


def _recorded(path: Path, number: int, text: bytes) -> Recorded:
    try:
        return _session(json.loads(text))
    except KeyError as error:
        raise _no_trace(path, number, f"no {error}") from error
    except (TypeError, ValueError) as error:
        raise _no_trace(path, number, str(error)) from error


def _session(document: Any) -> Recorded:
    scope, block_tokens = document["hash_id_scope"], document["block_size"]
    if scope not in SCOPES:
        raise ValueError(f"hash_id_scope {scope!r}, not {' or '.join(SCOPES)}")
    _natural("block_size", block_tokens, least=1)
    calls = tuple(_calls(document["requests"]))
    if not calls:
        raise ValueError("no request")
    return Recorded(scope == "global", block_tokens, calls)


def _calls(requests: Sequence[Any]) -> Iterator[Call]:
    """Requests in their order, each with the time since the answer before it."""
    ended_s: float | None = None
    for request in requests:
        if request["type"] == "subagent":
            yield from _calls(request["requests"])
            lasted_ms = request.get("duration_ms")
            ended_s = (
                None if lasted_ms is None else _seconds("t", request["t"]) + _seconds("duration_ms", lasted_ms) / 1e3
            )
            continue
        if request["type"] not in CALLS:
            raise ValueError(f"type {request['type']!r}, not {', '.join(CALLS)} or subagent")
        began_s = _seconds("t", request["t"])
        before_s = began_s if ended_s is None else ended_s
        ended_s = began_s + _seconds("api_time", request.get("api_time") or 0.0)
        told_s = request.get("think_time")
        yield Call(
            _natural("in", request["in"], least=1),
            _natural("out", request["out"], least=1),
            tuple(_natural("hash_ids", block) for block in request["hash_ids"]),
            max(0.0, began_s - before_s) if told_s is None else _seconds("think_time", told_s),
        )


def _natural(key: str, value: Any, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{key} {value!r}, not a whole number from {least} on")
    return value


def _seconds(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{key} {value!r}, not seconds from 0 on")
    return float(value)
