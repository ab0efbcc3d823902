"""Real engines under the supervisor, each serving the tiny mixture of experts of tests/engines/tiny_moe.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.client import Client
from tests.support.ports import free_port
from tests.support.server import PYTHON, Process

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
"""Starts `qwen-runtime serve`; returns the process, its API and its health port."""


@contextmanager
def engines(model: Path, logs: Path) -> Iterator[Start]:
    """Starts engines, and ends them afterwards."""
    started: list[Process] = []

    def start(
        *flags: object, engine: str = "vllm", own: tuple[object, ...] = (), within: tuple[object, ...] = ()
    ) -> tuple[Process, Client, Client]:
        """within: a command that replaces itself by another one, in surroundings that it has made."""
        port, health_port = free_port(), free_port()
        command = [PYTHON, "-m", "qwen_runtime", "serve", "--engine", engine, "--model", model, "--dtype", "float32"]
        command += ["--max-model-len", CONTEXT, "--port", port, "--health-port", health_port, "--settle-seconds", 1]
        program, *arguments = [*within, *command, *flags, "--", *OWN[engine], *own]
        started.append(Process(logs / f"log{len(started)}", arguments, program, **ENVIRONMENT))
        return started[-1], Client(port), Client(health_port)

    yield start
    for process in started:
        process.end()
