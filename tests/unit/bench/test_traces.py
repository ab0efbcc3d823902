"""Replay of recorded sessions: their blocks, lengths and waits, and what is no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.bench import traces
from qwen_runtime.cli import main

from tests.fakes.token_server import Pace, serving

BLOCK = 8
Document = dict[str, Any]


def call(t: float, tokens: int, blocks: list[int], **more: Any) -> Document:
    return {"t": t, "type": "s", "model": "m", "in": tokens, "out": 3, "hash_ids": blocks, **more}


def session(*requests: Document, scope: str = "local") -> Document:
    return {"id": "a", "models": ["m"], "block_size": BLOCK, "hash_id_scope": scope, "requests": list(requests)}


def written(folder: Path, *documents: Any) -> Path:
    path = folder / "trace.jsonl"
    path.write_text("".join(f"{json.dumps(document)}\n" for document in documents))
    return path


def texts(folder: Path, *documents: Document, seed: int = 0, scale: float = 1) -> list[list[list[str]]]:
    """Words of each prompt, by session and turn."""
    replayed = traces.read(written(folder, *documents)).sessions(100, seed, scale=scale)
    return [[turn.text.split() for turn in each.turns] for each in replayed]


def test_blocks_of_one_id_have_one_text_and_the_rest_is_new(tmp_path: Path) -> None:
    [[first, second]] = texts(tmp_path, session(call(0, 20, [1, 2]), call(9, 28, [1, 2, 3])))
    assert (len(first), len(second)) == (20, 28)
    assert second[: 2 * BLOCK] == first[: 2 * BLOCK]
    assert second[2 * BLOCK :] != first[2 * BLOCK :]
    assert first[:BLOCK] != first[BLOCK : 2 * BLOCK]


def test_an_id_means_another_block_in_another_session_unless_its_scope_is_global(tmp_path: Path) -> None:
    local = session(call(0, BLOCK, [1]))
    everywhere = session(call(0, BLOCK, [1]), scope="global")
    [[one]], [[other]], [[third]], [[fourth]] = (
        [each] for each in texts(tmp_path, local, local, everywhere, everywhere)
    )
    assert one != other
    assert third == fourth


def test_another_seed_finds_nothing_of_an_earlier_replay(tmp_path: Path) -> None:
    document = session(call(0, BLOCK, [1]), scope="global")
    assert texts(tmp_path, document, seed=1) != texts(tmp_path, document, seed=2)


def test_scale_keeps_the_share_in_common(tmp_path: Path) -> None:
    [[first, second]] = texts(
        tmp_path, session(call(0, 40, [1, 2, 3, 4, 5]), call(9, 48, [1, 2, 3, 9, 9, 9])), scale=0.25
    )
    assert (len(first), len(second)) == (10, 12)
    assert (first[:6] == second[:6], first[6:8] == second[6:8]) == (True, False)


def test_waits_are_the_clients_and_not_the_engines_that_was_recorded(tmp_path: Path) -> None:
    inner = {
        "t": 20,
        "type": "subagent",
        "duration_ms": 5000,
        "requests": [call(0, 8, [7]), call(3, 8, [7], api_time=1)],
    }
    document = session(
        call(0, 8, [1], api_time=4),
        call(10, 8, [1], api_time=2),
        call(13, 8, [1], think_time=0.5),
        inner,
        call(26, 8, [1]),
    )
    [replayed] = traces.read(written(tmp_path, document)).sessions(1, 0, scale=1)
    assert [turn.wait_s for turn in replayed.turns] == [0, 6, 0.5, 0, 3, 1]


def test_a_trace_is_replayed_and_named_in_the_result(tmp_path: Path) -> None:
    path = written(tmp_path, session(call(0, 20, [1, 2]), call(0.01, 28, [1, 2, 3])), session(call(0, 8, [1])))
    output, pace = tmp_path / "bench.json", Pace()
    with serving(pace) as url:
        load = ["--trace", str(path), "--users", "1", "--warmup", "0", "--hardware", "none", "--own-delay-s", "30"]
        assert main(["bench", "--endpoint", url, *load, "--output", str(output)]) == 0
    document = json.loads(output.read_bytes())
    assert [entry["item"] for entry in document["requests"]] == ["s0.0", "s0.1", "s1.0"]
    assert document["figures"]["output_tokens"] == 9
    assert (document["load"]["name"], document["load"]["recorded_sessions"]) == ("trace", 2)
    assert [len(body["messages"]) for body in pace.bodies] == [1, 1, 1], "a recorded prompt has its history in it"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({**session(call(0, 8, [1])), "hash_id_scope": "other"}, "hash_id_scope 'other'"),
        ({**session(call(0, 8, [1])), "block_size": 0}, "block_size 0"),
        (session(), "no request"),
        (session({**call(0, 8, [1]), "in": -1}), "in -1"),
        (session({**call(0, 8, [1]), "t": "now"}), "t 'now'"),
        (session({**call(0, 8, ["x"])}), "hash_ids 'x'"),
        (session({**call(0, 8, [1]), "type": "z"}), "type 'z'"),
        ({"requests": []}, "no 'hash_id_scope'"),
        ([1], "list indices"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_place(
    document: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, session(call(0, 8, [1])), document)
    arguments = ["--trace", str(path), "--users", "1", "--hardware", "none", "--output", str(tmp_path / "b.json")]
    assert main(["bench", *arguments]) == 2
    said = capsys.readouterr().err
    assert "session 2: " in said
    assert told in said
