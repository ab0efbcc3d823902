"""A model over several ranks: the tokens of one process, and one end for all."""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import COMPLETIONS, Client, Json
from tests.support.oracle import CONTEXT, NAME, Oracle, Serve, make_oracle
from tests.support.ports import free_port
from tests.support.processes import runs
from tests.support.server import Process
from tests.support.waiting import ENGINE_PATIENCE_S, wait_for_engine

LONG: Json = {"prompt": "x", "max_tokens": CONTEXT - 1, "ignore_eos": True}
HOT: Json = {"prompt": "To be, or not", "temperature": 1.5, "max_tokens": 24, "ignore_eos": True}
RUNNING = "transformers:num_requests_running"
Group = tuple[Process, Client, list[Json]]


DIVIDED = {
    "llama": ("--tp-size", "2"),
    "llama in stages": ("--pp-size", "2"),
    "llama_tied in stages": ("--pp-size", "2"),  # the first stage's embedding is the last one's head
    "qwen3_moe": ("--tp-size", "2", "--ep-size", "2"),
    "qwen3_moe in stages": ("--pp-size", "4"),
}


@pytest.fixture(scope="module", params=list(DIVIDED))
def group(
    request: pytest.FixtureRequest, serve: Serve, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> Group:
    """A dense model by tensor parallelism, a mixture of experts by expert parallelism too, and both by their layers."""
    family = request.param.split()[0]
    model = oracle if family == "llama" else make_oracle(tmp_path_factory.mktemp(family), family)
    return *serve(*DIVIDED[request.param], model=model[0]), model[1]


def ranks(process: Process) -> list[int]:
    """Process ids, from the log."""
    [pids] = re.findall(r"the engine runs as processes ([\d, ]+)", process.log())
    return [int(pid) for pid in pids.split(", ")]


def at_once(client: Client, bodies: list[Json]) -> list[str]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(lambda body: client.ask(COMPLETIONS, body), bodies))
    assert [status for status, _ in answers] == [200] * len(bodies), answers
    return [answer["choices"][0]["text"] for _, answer in answers]


def greedy(known: list[Json]) -> list[Json]:
    requests = [{"prompt": each["prompt"], "max_tokens": len(each["answer"])} for each in known]
    return [{**body, "temperature": 0, "ignore_eos": True} for body in requests]


def test_requests_together_get_the_tokens_of_one_process(group: Group) -> None:
    _, client, known = group
    requests, expected = greedy(known), [each["text"] for each in known]
    assert at_once(client, requests[:5]) == expected[:5]
    assert at_once(client, requests[1:]) == expected[1:], "the second time their prompts are in the cache"


def test_a_seed_gives_the_same_answer_alone_and_in_a_batch(group: Group) -> None:
    _, client, known = group
    [alone] = at_once(client, [{**HOT, "seed": 7}])
    together = at_once(client, [{**HOT, "seed": 7}, HOT, *greedy(known[:1]), {**HOT, "seed": 7}, {**HOT, "seed": 8}])
    assert together[0] == together[3] == alone
    assert together[2] == known[0]["text"]
    assert len({together[0], together[1], together[4]}) == 3


@pytest.mark.parametrize("group", ["llama", "llama in stages"], indirect=True)
def test_a_seed_gives_the_answer_of_one_process(group: Group, client: Client) -> None:
    penalized = {**HOT, "repetition_penalty": 1.3, "presence_penalty": 0.5, "top_p": 0.9, "logprobs": 2}
    for body in ({**HOT, "seed": 7}, {**penalized, "seed": 8}):
        assert at_once(group[1], [body]) == at_once(client, [body])


def test_answers_that_are_cancelled_leave_the_ranks_in_step(group: Group) -> None:
    _, client, known = group
    requests, expected = greedy(known[:3]), [each["text"] for each in known[:3]]
    for events_read in (1, 3):
        streams = [client.stream(COMPLETIONS, {**LONG, "prompt": prompt}) for prompt in "ab"]
        for stream in streams:
            assert len(list(itertools.islice(stream, events_read))) == events_read
        with ThreadPoolExecutor(1) as beside:
            answers = beside.submit(at_once, client, requests)
            for stream in streams:
                stream.close()  # type: ignore[attr-defined]
            assert answers.result() == expected
    wait_for_engine(lambda: client.metric(RUNNING) == 0, "the end of every request")
    assert at_once(client, requests) == expected


def test_each_rank_holds_a_part_of_the_weights(group: Group) -> None:
    process, _, _ = group
    parts = [int(number.replace(",", "")) for number in re.findall(r"loaded ([\d,]+) bytes of weights", process.log())]
    [stored] = [int(number) for number in re.findall(r'"size_bytes": (\d+)', process.log())]
    assert len(parts) == len(ranks(process))
    assert max(parts) < 0.75 * stored  # the embedding is whole on each of those that share layers


@pytest.mark.parametrize("divided", ["--tp-size", "--pp-size"])
@pytest.mark.parametrize(
    ("number", "rank", "reason"),
    [
        (signal.SIGKILL, 1, "rank 1 of the engine (process {}) was killed by SIGKILL without being asked to"),
        (signal.SIGKILL, 0, "rank 0 of the engine (process {}) was killed by SIGKILL without being asked to"),
        (signal.SIGSTOP, 1, "process {} of the engine has been stopped by a signal"),
    ],
)
def test_a_rank_that_fails_ends_them_all_with_the_reason(
    serve: Serve, divided: str, number: signal.Signals, rank: int, reason: str
) -> None:
    process, client = serve(divided, "2")
    pids = ranks(process)
    running = client.stream(COMPLETIONS, LONG)
    next(running)
    os.kill(pids[rank], number)
    assert process.process.wait(ENGINE_PATIENCE_S) == 5
    assert not [pid for pid in pids if runs(pid)]
    assert f"found:  {reason.format(pids[rank])}" in process.log()


@pytest.mark.parametrize("divided", ["--tp-size", "--pp-size"])
def test_sigterm_lets_streams_end_and_then_every_rank_in_order(serve: Serve, divided: str) -> None:
    process, client = serve(divided, "2")
    pids = ranks(process)
    events = client.stream(COMPLETIONS, {**LONG, "max_tokens": 100})
    next(events)
    process.process.send_signal(signal.SIGTERM)
    assert list(events)[-1] == "[DONE]"
    assert process.process.wait(ENGINE_PATIENCE_S) == 0, process.log()
    assert not [pid for pid in pids if runs(pid)]
    assert re.search(
        r'"stopped", "message": "rank [01] of the engine \(process \d+\) exited with code 0"', process.log()
    )


def test_an_error_of_the_engine_ends_each_rank_with_the_reason(
    oracle: Oracle, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Rank 0 fails at a place where the other one waits for it: neither may wait for ever."""
    from qwen_runtime.serve.ranks import environments

    port = free_port()
    argv: list[Any] = [Path(__file__).with_name("sabotage.py"), oracle[0], "--served-model-name", NAME, "--port", port]
    argv += ["--max-model-len", CONTEXT, "--dtype", "float32", "--tp-size", 2]
    pair = [Process(tmp_path / variables["RANK"], argv, **variables) for variables in environments({}, 2)]
    for process in pair:
        request.addfinalizer(process.end)
    client = Client(port)
    wait_for_engine(lambda: pair[0].process.poll() is not None or client.answers("/health"), "ready")
    answers: list[tuple[int, Json]] = []
    body = {"prompt": "x", "max_tokens": 1, "seed": 666, "temperature": 1}
    asking = threading.Thread(target=lambda: answers.append(client.ask(COMPLETIONS, body)))
    asking.start()
    assert [process.process.wait(ENGINE_PATIENCE_S) for process in pair] == [5, 5]
    asking.join()
    assert "sabotaged" in answers[0][1]["error"]["message"]
    assert "continuous batching died: RuntimeError: sabotaged" in pair[0].log()
    assert "continuous batching died on rank 1: " in pair[1].log()
