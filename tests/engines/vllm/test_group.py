"""A group of two real processes of vLLM: the tokens of one process, and one end for both."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.engines import Start
from tests.support.ports import free_port
from tests.support.processes import runs
from tests.support.server import Process
from tests.support.waiting import wait_for_engine

PROMPTS = ("def add(a, b):", "class Queue:\n", "SELECT name FROM")


def tokens(api: Client) -> list[list[int]]:
    """Greedy tokens for each prompt."""
    settings: dict[str, Any] = {"max_tokens": 16, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    answers = [api.ask("/v1/completions", {"model": "tiny-moe", "prompt": prompt, **settings}) for prompt in PROMPTS]
    assert [status for status, _ in answers] == [200] * len(PROMPTS), answers
    return [answer["choices"][0]["token_ids"] for _, answer in answers]


def pair(start: Start) -> list[tuple[Process, Client, Client]]:
    flags = (
        "--nodes",
        2,
        "--leader-address",
        "127.0.0.1",
        "--rendezvous-port",
        free_port(),
        "--group-port",
        free_port(),
    )
    return [start(*flags, "--node-rank", rank, own=("--tensor-parallel-size", "2")) for rank in (0, 1)]


def test_two_nodes_give_the_tokens_of_one_and_end_in_order(start: Start) -> None:
    alone, api, health = start()
    alone.wait_ready(health)
    expected = tokens(api)
    assert len({tuple(tokens) for tokens in expected}) == len(PROMPTS), "prompts must lead to different answers"
    alone.end()
    both = pair(start)
    for process, _, its_health in both:
        process.wait_ready(its_health)
    assert tokens(both[0][1]) == expected
    everything = [*both[0][0].family(), *both[1][0].family()]
    both[1][0].process.send_signal(signal.SIGTERM)
    assert [process.process.wait(60) for process, _, _ in both] == [0, 0]
    assert not [pid for pid in everything if runs(pid)]


@pytest.mark.parametrize(
    ("victim", "fault"),
    [
        ("engine", signal.SIGKILL),
        ("worker", signal.SIGKILL),
        ("supervisor", signal.SIGKILL),
        ("worker", signal.SIGSTOP),
        ("supervisor", signal.SIGSTOP),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_follower_that_fails_ends_the_group_and_leaves_no_process(
    start: Start, victim: str, fault: signal.Signals
) -> None:
    both = pair(start)
    for process, _, its_health in both:
        process.wait_ready(its_health)
    leader, follower = (process for process, _, _ in both)
    everything = [*leader.family(), *follower.family()]
    line = follower.family()
    os.kill({"supervisor": line[0], "engine": line[1], "worker": line[-1]}[victim], fault)
    assert leader.process.wait(60) == 5
    assert "rank 1" in leader.log().splitlines()[-1]
    if (victim, fault) == ("supervisor", signal.SIGSTOP):
        follower.process.kill()  # as Kubernetes does, whose probes it does not answer
    follower.process.wait(60)
    wait_for_engine(lambda: not [pid for pid in everything if runs(pid)], "the end of every process")
