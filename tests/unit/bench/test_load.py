"""Questions of bench, and their instants."""

from __future__ import annotations

import numpy as np
import pytest
from qwen_runtime.bench.arrivals import PROCESSES, instants
from qwen_runtime.bench.loads import LOADS, fixed, sessions


@pytest.mark.parametrize("process", PROCESSES)
def test_arrivals_begin_at_once_and_keep_their_rate(process: str) -> None:
    arrivals = instants(process, 4.0, 4000, np.random.default_rng(1), shape=0.5)
    assert arrivals[0] == 0
    assert arrivals == sorted(arrivals)
    assert 4000 / arrivals[-1] == pytest.approx(4.0, rel=0.1)


def test_gamma_arrivals_below_shape_1_come_in_bursts() -> None:
    """The variance of the gaps is 1 / shape of the squared mean (gamma distribution)."""
    spreads = {}
    for shape in (0.25, 1.0, 4.0):
        gaps = np.diff(instants("gamma", 1.0, 20_000, np.random.default_rng(2), shape=shape))
        spreads[shape] = np.var(gaps) / np.mean(gaps) ** 2
    assert spreads == {
        0.25: pytest.approx(4, rel=0.2),
        1.0: pytest.approx(1, rel=0.2),
        4.0: pytest.approx(0.25, rel=0.2),
    }


def test_the_same_seed_asks_the_same_and_another_one_does_not() -> None:
    asked = [sessions(LOADS["chat"], 20, seed) for seed in (7, 7, 8)]
    assert asked[0] == asked[1] != asked[2]


def test_agents_share_their_system_prompt_and_nothing_else() -> None:
    first, second = sessions(LOADS["agent"], 2, 0)
    assert first.system == second.system
    assert len(first.system.split()) == 3000
    beginnings = {turn.text.split()[0] for session in (first, second) for turn in session.turns}
    assert len(beginnings) == len(first.turns) + len(second.turns)
    assert first.turns[0].wait_s == 0
    assert all(1 <= turn.wait_s <= 100 for turn in first.turns[1:])


def test_the_warm_up_shares_the_system_prompt_and_asks_something_else() -> None:
    [warm] = sessions(LOADS["agent"], 1, 0, warmup=True)
    [measured] = sessions(LOADS["agent"], 1, 0)
    assert warm.system == measured.system
    assert warm.turns != measured.turns


def test_the_agents_waits_and_turns_are_those_of_the_published_profile() -> None:
    turns = [turn for session in sessions(LOADS["agent"], 500, 3) for turn in session.turns]
    waits = [turn.wait_s for turn in turns if turn.wait_s]
    assert np.mean(waits) == pytest.approx(15, rel=0.1)
    assert np.mean([len(turn.text.split()) for turn in turns]) == pytest.approx(1500, rel=0.1)
    assert np.mean([turn.answer_tokens for turn in turns]) == pytest.approx(425, rel=0.1)


def test_given_lengths_do_not_vary() -> None:
    load = fixed(LOADS["chat"], 12, 34)
    assert {(len(s.turns[0].text.split()), s.turns[0].answer_tokens) for s in sessions(load, 5, 0)} == {(13, 34)}
