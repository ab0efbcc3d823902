"""Nodes that hold one model together start, fail and end together, whichever of them fails and however."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import get
from tests.support.ports import free_port
from tests.support.processes import runs
from tests.support.runtime import Runtime, runtimes
from tests.support.waiting import wait_until

Start = Callable[..., Runtime]
LEADER, FOLLOWER = 0, 1
BOTH = pytest.mark.parametrize("failing", [LEADER, FOLLOWER], ids=["leader", "follower"])


@pytest.fixture
def start(tmp_path: Path, model_dir: Path) -> Iterator[Start]:
    """Starts one rank of a group of two."""
    group_port = free_port()

    def make(rank: int, *flags: str, engine: tuple[str, ...] = ()) -> Runtime:
        group = ("--nodes", "2", "--node-rank", str(rank), "--leader-address", "127.0.0.1")
        ports = ("--group-port", str(group_port), "--rendezvous-port", str(free_port()))
        runtime = start_runtime(*group, *ports, *flags, engine=engine)
        runtime.group_port = group_port
        return runtime

    with runtimes(tmp_path, model_dir, signal.SIGKILL) as start_runtime:
        yield make


@pytest.fixture
def pair(start: Start) -> list[Runtime]:
    """Leader and follower, ready."""
    both = [start(rank, "--drain-seconds", "60") for rank in (LEADER, FOLLOWER)]
    for runtime in both:
        runtime.wait_ready()
    return both


def engine(runtime: Runtime) -> int:
    return runtime.engine_pid()


def supervisor(runtime: Runtime) -> int:
    return runtime.process.pid


def stream(leader: Runtime) -> tuple[threading.Thread, list[str]]:
    """A long answer in the background; the list holds it once the thread has ended."""
    answer: list[str] = []
    thread = threading.Thread(target=lambda: answer.append(get(leader.port, "/stream?seconds=60")[1]))
    thread.start()
    wait_until(lambda: " 1.0" in get(leader.port, "/metrics")[1], "the stream's begin")
    return thread, answer


def test_a_group_is_ready_when_all_of_it_is_and_each_pod_says_so_itself(start: Start) -> None:
    leader = start(LEADER)
    wait_until(lambda: "rank 1 has not joined yet" in get_reason(leader), "the leader's waiting")
    assert (leader.health("ready"), leader.health("live")) == (503, 200)
    follower = start(FOLLOWER)
    for runtime in (leader, follower):
        runtime.wait_ready()
        assert (runtime.health("startup"), runtime.health("live")) == (200, 200)
    command = wait_until(lambda: engine_words(follower), "the follower's engine")
    assert "--nnodes 2 --node-rank 1 --master-addr 127.0.0.1 --master-port" in command
    assert command.endswith("--headless")


def engine_words(runtime: Runtime) -> str:
    return "".join(entry["message"] for entry in runtime.log() if entry["source"] == "engine")


def get_reason(runtime: Runtime) -> str:
    return get(runtime.health_port, "/health/ready")[1] if runtime.health("live") else ""


def test_a_follower_waits_for_a_leader_that_comes_late(start: Start) -> None:
    follower = start(FOLLOWER)
    wait_until(lambda: follower.health("live") == 200, "live")
    assert follower.health("ready") == 503
    leader = start(LEADER)
    leader.wait_ready()
    follower.wait_ready()


@pytest.mark.parametrize(
    ("alone", "reason"),
    [(LEADER, "rank 1 did not join within 1 s"), (FOLLOWER, "rank 1 did not reach its leader at 127.0.0.1:")],
    ids=["leader", "follower"],
)
def test_a_rank_that_stays_alone_ends_with_the_reason(start: Start, alone: int, reason: str) -> None:
    runtime = start(alone, "--join-seconds", "1")
    assert runtime.wait() == 5
    assert reason in runtime.errors()
    assert not runs(engine(runtime))


@BOTH
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "was killed by SIGKILL without being asked to"),
        (signal.SIGSTOP, "has been stopped by a signal"),
    ],
    ids=["SIGKILL", "SIGSTOP"],
)
def test_an_engine_that_fails_on_one_node_ends_the_group_with_its_reason_on_both(
    pair: list[Runtime], failing: int, number: signal.Signals, reason: str
) -> None:
    engines = [engine(runtime) for runtime in pair]
    os.kill(engines[failing], number)
    assert [runtime.wait() for runtime in pair] == [5, 5]
    assert reason in pair[failing].errors()
    other = pair[1 - failing].errors()
    assert f"rank {failing}: " in other
    assert reason in other
    assert not any(runs(pid) for pid in engines)


@BOTH
def test_a_supervisor_that_is_killed_takes_the_group_with_it(pair: list[Runtime], failing: int) -> None:
    engines = [engine(runtime) for runtime in pair]
    pair[failing].signal(signal.SIGKILL)
    other = pair[1 - failing]
    assert other.wait() == 5
    assert f"rank {failing} broke its connection off" in other.errors()
    wait_until(lambda: not any(runs(pid) for pid in engines), "the end of both engines")


@BOTH
def test_a_supervisor_that_is_stopped_ends_the_group_and_itself_once_it_runs_again(
    pair: list[Runtime], failing: int
) -> None:
    engines = [engine(runtime) for runtime in pair]
    pair[failing].signal(signal.SIGSTOP)
    other = pair[1 - failing]
    assert other.wait() == 5
    assert f"rank {failing} has not been heard for" in other.errors()
    assert not runs(engines[1 - failing])
    pair[failing].signal(signal.SIGCONT)
    assert pair[failing].wait() == 5
    assert not runs(engines[failing])


def test_supervisors_that_all_stood_still_blame_nobody(pair: list[Runtime]) -> None:
    """This happens on hosts that are paused, or so busy that no process runs."""
    for number, pause_s in ((signal.SIGSTOP, 5.0), (signal.SIGCONT, 2.0)):
        for runtime in pair:
            runtime.signal(number)
        time.sleep(pause_s)
    assert [runtime.health("ready") for runtime in pair] == [200, 200]


@pytest.mark.parametrize("signalled", [(LEADER,), (FOLLOWER,), (LEADER, FOLLOWER)], ids=["leader", "follower", "both"])
def test_sigterm_to_any_pod_lets_streams_end_and_then_ends_the_group_in_order(
    pair: list[Runtime], signalled: tuple[int, ...]
) -> None:
    thread, answer = stream(pair[LEADER])
    for rank in signalled:
        pair[rank].signal(signal.SIGTERM)
    for runtime in pair:
        wait_until(lambda runtime=runtime: runtime.health("ready") == 503, "not ready")
        assert runtime.health("live") == 200
    assert [runtime.process.poll() for runtime in pair] == [None, None]
    get(pair[LEADER].port, "/finish", "POST")
    assert [runtime.wait() for runtime in pair] == [0, 0]
    thread.join()
    assert answer[0].endswith("done\n")
    assert [runtime.events()[-1] for runtime in pair] == ["stopped", "stopped"]
    assert not any(runs(engine(runtime)) for runtime in pair)


def test_a_second_signal_ends_a_follower_without_waiting_for_streams(pair: list[Runtime]) -> None:
    thread, _ = stream(pair[LEADER])
    pair[FOLLOWER].signal(signal.SIGTERM)
    wait_until(lambda: pair[FOLLOWER].health("ready") == 503, "not ready")
    pair[FOLLOWER].signal(signal.SIGTERM)
    assert [runtime.wait() for runtime in reversed(pair)] == [0, 0]
    thread.join()
    assert "cut" in pair[LEADER].events(), "without all of its ranks the engine can't end its streams"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--node-rank", "1"), "rank 1 has joined already"),
        (("--nodes", "3", "--node-rank", "2"), "rank 2 was started for 3 nodes, the leader for 2"),
    ],
    ids=["a rank twice", "another size"],
)
def test_a_pod_that_does_not_belong_is_told_why_and_the_group_goes_on(
    start: Start, pair: list[Runtime], flags: tuple[str, ...], reason: str
) -> None:
    stranger = start(FOLLOWER, *flags)
    assert stranger.wait() == 5
    assert reason in stranger.errors()
    assert [runtime.health("ready") for runtime in pair] == [200, 200]


def test_clients_that_say_nothing_or_nonsense_keep_no_follower_from_joining(start: Start) -> None:
    leader = start(LEADER)
    wait_until(lambda: "has not joined yet" in get_reason(leader), "the leader's waiting")
    silent = [socket.create_connection(("127.0.0.1", leader.group_port)) for _ in range(100)]
    with socket.create_connection(("127.0.0.1", leader.group_port)) as liar:
        liar.sendall(b"\xff" * 100_000)
    follower = start(FOLLOWER)
    follower.wait_ready()
    for client in silent:
        client.close()
