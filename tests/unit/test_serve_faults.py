"""The supervisor in bad surroundings: what it needs it says, and what it can't notice it does not claim."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.model_files import SHARDS
from tests.unit.runtime_process import Runtime, get, runs, runtimes, wait_until

Start = Callable[..., Runtime]
ROOT_OF_ITS_OWN = ("unshare", "--user", "--map-root-user", "--mount")


def surrounding(*mounts: str, user: int = 0) -> tuple[str, ...]:
    """A command's own mounts, which need no rights outside, and then its user."""
    become = f"exec unshare --user --map-user={user}" if user else "exec"
    return (*ROOT_OF_ITS_OWN, "sh", "-ec", " && ".join([*mounts, f'{become} "$@"']), "sh")


NAMESPACES = pytest.mark.skipif(
    subprocess.run([*ROOT_OF_ITS_OWN, "true"], check=False, capture_output=True).returncode != 0,
    reason="this kernel gives this user no namespaces of its own (sysctl kernel.unprivileged_userns_clone)",
)


@pytest.fixture
def start(tmp_path: Path, model_dir: Path) -> Iterator[Start]:
    with runtimes(tmp_path, model_dir, signal.SIGKILL) as make:
        yield make


@NAMESPACES
def test_it_serves_and_drains_as_an_ordinary_user_on_a_read_only_root(start: Start) -> None:
    runtime = start(within=surrounding("mount -o remount,bind,ro /", user=10001))
    runtime.wait_ready()
    assert "10001" in Path(f"/proc/{runtime.process.pid}/uid_map").read_text()
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    assert runtime.errors() == ""


@NAMESPACES
def test_an_engine_that_ends_beside_a_full_shared_memory_is_reported_with_it(start: Start) -> None:
    full = ("mount -t tmpfs -o size=64k tmpfs /dev/shm", "head -c 64k /dev/zero > /dev/shm/full")
    runtime = start(engine=("--fake-exit", "1"), within=surrounding(*full))
    assert runtime.wait() == 5
    assert "exited with code 1 without being asked to (/dev/shm is full" in runtime.errors()


def test_weights_that_change_while_they_are_loaded_are_never_served(
    start: Start, model_dir: Path, tmp_path: Path
) -> None:
    runtime = start(engine=("--fake-wait", str(tmp_path / "loaded")))
    wait_until(lambda: "engine-started" in runtime.events(), "the engine's start")
    engine = runtime.engine_pid()
    shard = model_dir / SHARDS[0]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    (tmp_path / "loaded").touch()
    assert runtime.wait() == 3
    assert f"{shard} changed while it was verified and loaded" in runtime.errors()
    assert "ready" not in runtime.events()
    assert not runs(engine)


def test_weights_that_change_under_a_server_that_has_loaded_them_do_not_end_it(start: Start, model_dir: Path) -> None:
    """Nothing watches them: the next start does, and looks into the bytes only with --verify full."""
    runtime = start()
    runtime.wait_ready()
    (model_dir / SHARDS[0]).touch()
    assert get(runtime.port, "/v1/models")[0] == 200
    assert runtime.health("ready") == 200


def test_a_supervisor_that_is_stopped_answers_no_probe_and_goes_on_where_it_was(start: Start) -> None:
    """Kubernetes ends such a pod by its liveness probe; the supervisor itself can't."""
    runtime = start()
    runtime.wait_ready()
    runtime.signal(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{runtime.process.pid}/stat").read_text().split()[2] == "T", "the stop")
    with pytest.raises(TimeoutError):
        get(runtime.health_port, "/health/live", timeout_s=1)
    assert get(runtime.port, "/v1/models")[0] == 200, "the engine does not need it for its answers"
    runtime.signal(signal.SIGCONT)
    assert runtime.health("ready") == 200


def test_a_worker_that_is_killed_is_the_engines_business(start: Start, tmp_path: Path) -> None:
    """vLLM ends when it loses a worker; an engine that goes on without is not ended for it."""
    runtime = start(engine=("--fake-orphan", str(tmp_path / "worker")))
    runtime.wait_ready()
    os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)
    assert get(runtime.port, "/v1/models")[0] == 200
    assert runtime.health("live") == 200
