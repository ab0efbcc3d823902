"""Two real processes of vLLM as a group: one process's tokens, and one process's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.paths import REPO
from tests.engines.transformers import served
from tests.engines.transformers.served import PYTHON, Client, Process, wait_until
from tests.unit.runtime_process import free_port

pytestmark = [pytest.mark.contract, pytest.mark.long]
PROMPTS = ("def add(a, b):", "class Queue:\n", "SELECT name FROM")
Start = Callable[..., tuple[Process, Client, Client]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    directory = tmp_path_factory.mktemp("tiny-moe")
    subprocess.run([PYTHON, Path(__file__).with_name("tiny_moe.py"), directory], check=True)
    sys.path.insert(0, str(REPO / "python/src"))
    from qwen_runtime import weights

    weights.write_manifest(directory, "tiny-moe", "random-1")
    return directory


@pytest.fixture
def start(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts `qwen-runtime serve`; the process, its API and its health port."""
    loopback = {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    for name, value in {**loopback, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(served, "PATIENCE_S", 1200)  # four processes import vLLM at once
    started: list[Process] = []

    def make(*flags: object, engine: tuple[str, ...] = ()) -> tuple[Process, Client, Client]:
        port, health_port = free_port(), free_port()
        command = ["-m", "qwen_runtime", "serve", "--model", model, "--max-model-len", 1024, "--dtype", "float32"]
        command += ["--port", port, "--health-port", health_port, "--settle-seconds", 1, *flags]
        started.append(Process(tmp_path / f"log{len(started)}", [*command, "--", "--enforce-eager", *engine]))
        return started[-1], Client(port), Client(health_port)

    yield make
    for process in started:
        process.end()


def ready(process: Process, health: Client) -> None:
    wait_until(lambda: process.process.poll() is not None or health.answers("/health/ready"), "ready")
    assert process.process.poll() is None, process.log()


def tokens(api: Client) -> list[list[int]]:
    """Greedy tokens for each prompt."""
    asked: dict[str, Any] = {"max_tokens": 16, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    answers = [api.ask("/v1/completions", {"model": "tiny-moe", "prompt": prompt, **asked}) for prompt in PROMPTS]
    assert [status for status, _ in answers] == [200] * len(PROMPTS), answers
    return [answer["choices"][0]["token_ids"] for _, answer in answers]


def of_group(process: Process) -> set[int]:
    """The process and all below it."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines())
    found = {process.process.pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


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
    return [start(*flags, "--node-rank", rank, engine=("--tensor-parallel-size", "2")) for rank in (0, 1)]


def test_two_nodes_give_the_tokens_of_one_and_end_in_order(start: Start) -> None:
    alone, api, health = start()
    ready(alone, health)
    expected = tokens(api)
    assert len({tuple(found) for found in expected}) == len(PROMPTS), "prompts must lead to different answers"
    alone.end()
    both = pair(start)
    for process, _, its_health in both:
        ready(process, its_health)
    assert tokens(both[0][1]) == expected
    everything = of_group(both[0][0]) | of_group(both[1][0])
    both[1][0].process.send_signal(signal.SIGTERM)
    assert [process.process.wait(60) for process, _, _ in both] == [0, 0]
    assert not [pid for pid in everything if runs(pid)]


@pytest.mark.parametrize("victim", ["engine", "worker", "supervisor"])
def test_a_follower_that_is_killed_ends_the_group_and_leaves_no_process(start: Start, victim: str) -> None:
    both = pair(start)
    for process, _, its_health in both:
        ready(process, its_health)
    leader, follower = (process for process, _, _ in both)
    everything = of_group(leader) | of_group(follower)
    line = sorted(of_group(follower))  # in the order of their starts: supervisor, engine, and what the engine started
    os.kill({"supervisor": line[0], "engine": line[1], "worker": line[-1]}[victim], signal.SIGKILL)
    assert leader.process.wait(60) == 5
    assert "rank 1" in leader.log().splitlines()[-1]
    follower.process.wait(60)
    wait_until(lambda: not [pid for pid in everything if runs(pid)], "the end of every process")
