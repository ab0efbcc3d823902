"""The supervisor on a bad host: it says what it needs, and does not claim to notice what it can't."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.model_files import SHARDS
from tests.fakes.vllm_site import write_vllm_site
from tests.support.client import get
from tests.support.ports import free_port
from tests.support.processes import SOURCE, runs
from tests.support.runtime import Runtime, runtimes
from tests.support.waiting import PATIENCE_S, wait_until

Start = Callable[..., Runtime]
ROOT_OF_ITS_OWN = ("unshare", "--user", "--map-root-user", "--mount")


def surrounding(*mounts: str, user: int = 0) -> tuple[str, ...]:
    """A namespace with mounts of its own, which needs no rights outside it, and then the user again."""
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
@pytest.mark.parametrize(
    "command",
    ["weights verify --full", f"serve --port {free_port()} --health-port {free_port()} --verify full --model"],
    ids=["verify", "serve"],
)
def test_process_1_of_a_container_ends_at_sigterm_before_an_engine_runs(
    tmp_path: Path, model_dir: Path, command: str
) -> None:
    """The kernel keeps from process 1 each signal that it has no handler for."""
    endless = model_dir / "endless.bin"
    with endless.open("wb") as file:
        file.truncate(1 << 42)  # without a block on the disk, and days of work to digest
    manifest = json.loads((model_dir / "manifest.json").read_text())
    manifest["files"].append({"path": endless.name, "size": 1 << 42, "sha256": "0" * 64})
    (model_dir / "manifest.json").write_text(json.dumps(manifest))
    write_vllm_site(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{SOURCE}"}
    own_pids = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
    argv = [*own_pids, sys.executable, "-m", "qwen_runtime", *command.split(), str(model_dir)]
    with subprocess.Popen(argv, env=environment) as unshare:
        try:
            children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
            [first] = wait_until(lambda: children.read_text().split(), "process 1")
            wait_until(lambda: endless in opened_by(first), "the verification's begin")
            os.kill(int(first), signal.SIGTERM)
            assert unshare.wait(PATIENCE_S) == 128 + signal.SIGTERM
        finally:
            unshare.kill()


def opened_by(pid: str) -> list[Path]:
    return [path.resolve() for path in Path(f"/proc/{pid}/fd").iterdir()]


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
    """Nothing watches the files. The next start checks them, and reads their bytes only with --verify full."""
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
