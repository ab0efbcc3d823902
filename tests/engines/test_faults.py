"""A process of a real engine, or its supervisor, is killed or stopped: the pod ends with the reason, and entirely."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.engines import OWN, TINY, Start, engines
from tests.support.processes import runs
from tests.support.server import Process
from tests.support.waiting import ENGINE_PATIENCE_S, wait_for_engine

# The title of the process; the engine itself is what the supervisor has started.
VICTIMS = [("vllm", None), ("vllm", "VLLM::EngineCore"), ("vllm", "VLLM::Worker"), ("transformers", None)]
FULL_SHARED_MEMORY = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && head -c 64k /dev/zero > /dev/shm/full && exec "$@"'
MOUNTS_OF_ITS_OWN = ("unshare", "--user", "--map-root-user", "--mount")


def find(process: Process, title: str | None) -> int:
    return process.family()[1] if title is None else process.titled(title)


def all_ended(family: list[int]) -> bool:
    return not [pid for pid in family if runs(pid)]


def answers(api: Client) -> bool:
    return api.ask("/v1/completions", {"prompt": "x", "max_tokens": 2})[0] == 200


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=lambda fault: fault.name)
@pytest.mark.parametrize(("engine", "title"), VICTIMS)
def test_a_process_of_the_engine_that_fails_ends_the_pod(
    start: Start, engine: str, title: str | None, fault: signal.Signals
) -> None:
    process, api, health = start(engine=engine)
    process.wait_ready(health)
    assert answers(api)
    family, victim = process.family(), find(process, title)
    os.kill(victim, fault)
    assert process.process.wait(ENGINE_PATIENCE_S) == 5
    reason = process.log().splitlines()[-1]
    if fault == signal.SIGSTOP:
        assert f"process {victim} of the engine has been stopped by a signal" in reason
    else:
        assert f"engine process {family[1]} " in reason
        assert "without being asked to" in reason
    assert all_ended(family)


@pytest.mark.parametrize("engine", OWN)
def test_a_supervisor_that_is_stopped_and_then_killed_takes_its_engine_with_it(start: Start, engine: str) -> None:
    """Kubernetes kills it so after its probes. Until then the engine answers, and nothing is left afterwards."""
    process, api, health = start(engine=engine)
    process.wait_ready(health)
    family = process.family()
    process.process.send_signal(signal.SIGSTOP)
    assert answers(api)
    process.process.kill()
    process.process.wait(ENGINE_PATIENCE_S)
    wait_for_engine(lambda: all_ended(family), "the end of every process")


@pytest.mark.skipif(
    subprocess.run([*MOUNTS_OF_ITS_OWN, "true"], check=False, capture_output=True).returncode != 0,
    reason="this kernel gives this user no namespaces of its own (sysctl kernel.unprivileged_userns_clone)",
)
def test_a_full_shared_memory_ends_vllm_with_that_reason(start: Start) -> None:
    process, _, _ = start(within=(*MOUNTS_OF_ITS_OWN, "sh", "-ec", FULL_SHARED_MEMORY, "sh"))
    assert process.process.wait(ENGINE_PATIENCE_S) == 5
    assert "/dev/shm is full" in process.log().splitlines()[-1]


@pytest.mark.parametrize("engine", OWN)
def test_weights_that_change_after_their_verification_are_never_served(
    tiny_moe: Path, tmp_path: Path, engine: str
) -> None:
    model = tmp_path / TINY
    shutil.copytree(tiny_moe, model)
    with engines(model, tmp_path) as start:
        process, _, health = start(engine=engine)
        wait_for_engine(lambda: "engine-started" in process.log(), "the engine's start")
        family = process.family()
        [shard, *_] = sorted(model.glob("*.safetensors"))
        data = bytearray(shard.read_bytes())
        data[-1] ^= 1
        shard.write_bytes(data)
        assert process.process.wait(ENGINE_PATIENCE_S) == 3
        assert f"{shard} changed while it was verified and loaded" in process.log().splitlines()[-1]
        assert not health.answers("/health/ready")
        assert all_ended(family)
