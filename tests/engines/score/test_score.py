"""A pipeline of stages and one process give the model's own scores, and a stage that dies ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.scoring import Models, Score

PATIENCE_S = 300


@pytest.mark.parametrize(
    "family",
    ["qwen3_moe", pytest.param("qwen2", marks=pytest.mark.long), pytest.param("llama", marks=pytest.mark.long)],
)
def test_four_stages_say_to_the_last_bit_what_one_process_says(models: Models, score: Score, family: str) -> None:
    one, four = score(family, "--engine", "transformers"), score(family, "--engine", "deepspeed", "--stages", 4)
    assert (one.code, four.code) == (0, 0), one.errors + four.errors
    assert one.document
    assert four.document
    assert four.document["results"] == one.document["results"]
    log_likelihoods = [result["log_likelihood"] for result in one.document["results"]]
    assert log_likelihoods == pytest.approx(models.log_likelihoods[family], rel=1e-4)
    held = [rank["weights_bytes"] for rank in four.document["ranks"]]
    assert len(held) == 4
    assert max(held) < 0.6 * one.document["weights_bytes"], "each rank holds its own layers only"


def test_the_death_of_a_rank_ends_the_command_with_the_reason_and_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    command = start("qwen3_moe")
    deadline = time.monotonic() + PATIENCE_S
    while len(ranks := children(command.pid)) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    victim = next(pid for pid in ranks if b"RANK=2" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    os.kill(victim, signal.SIGKILL)
    _, errors = command.communicate()
    assert command.returncode == 5
    assert "rank 2 of 4 was killed by SIGKILL; the others were ended" in errors
    assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]
    assert [path.name for path in tmp_path.iterdir()] == ["input.jsonl"]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_int8_is_told_beside_the_unquantized_model(score: Score) -> None:
    outcome = score("llama", "--quantization", "int8")
    assert outcome.code == 0, outcome.errors
    assert outcome.document
    before, change = outcome.document["unquantized"], outcome.document["against_unquantized"]
    # 4 layers of 41,088 weights in linear layers; the embedding, which is the head too, stays.
    assert outcome.document["weights_bytes"] < 0.4 * before["weights_bytes"]
    assert change["weights_bytes_saved"] == pytest.approx(
        1 - outcome.document["weights_bytes"] / before["weights_bytes"]
    )
    assert 0.8 < change["top1_agreement"] <= 1
    assert 0 < abs(change["perplexity_ratio"] - 1) < 0.1


def test_float8_is_refused_on_a_cpu_by_the_rank_and_told_once(score: Score) -> None:
    outcome = score("llama", "--quantization", "float8")
    assert (outcome.code, outcome.document) == (4, None)
    assert outcome.errors.count("quantization float8 on a CPU\nneeded: a GPU with arithmetic in FP8") == 1
