"""A tiny model of random weights, and real engines that serve it under the supervisor."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qwen_runtime import weights

from tests.engines.transformers import served
from tests.engines.transformers.served import PYTHON, Client, Process
from tests.unit.runtime_process import free_port

TINY, CONTEXT = "tiny-moe", 1024
# vLLM asks for its options in the environment. Its threads are ours to count, and ranks meet on loopback only.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
OWN = {"vllm": ("--enforce-eager",), "transformers": ()}
Start = Callable[..., tuple[Process, Client, Client]]
"""Of `qwen-runtime serve`; the process, its API and its health port."""


@pytest.fixture(scope="session")
def tiny_moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    directory = tmp_path_factory.mktemp(TINY)
    subprocess.run([PYTHON, Path(__file__).with_name("tiny_moe.py"), directory], check=True)
    weights.write_manifest(directory, TINY, "random-1")
    return directory


@contextmanager
def engines(model: Path, logs: Path) -> Iterator[Start]:
    started: list[Process] = []

    def make(
        *flags: object, engine: str = "vllm", own: tuple[object, ...] = (), within: tuple[object, ...] = ()
    ) -> tuple[Process, Client, Client]:
        """within: a command that runs another one in its own place, in a surrounding of its making."""
        port, health_port = free_port(), free_port()
        command = [PYTHON, "-m", "qwen_runtime", "serve", "--engine", engine, "--model", model, "--dtype", "float32"]
        command += ["--max-model-len", CONTEXT, "--port", port, "--health-port", health_port, "--settle-seconds", 1]
        program, *words = [*within, *command, *flags, "--", *OWN[engine], *own]
        started.append(Process(logs / f"log{len(started)}", words, program, **ENVIRONMENT))
        return started[-1], Client(port), Client(health_port)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "PATIENCE_S", 1200)  # several processes import vLLM at once
        yield make
        for process in started:
            process.end()


@pytest.fixture
def start(tiny_moe: Path, tmp_path: Path) -> Iterator[Start]:
    with engines(tiny_moe, tmp_path) as make:
        yield make
