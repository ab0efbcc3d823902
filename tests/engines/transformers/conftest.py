"""One server of a tiny model for all tests of the engine; a test that ends a server starts its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.oracle import CONTEXT, NAME, Oracle, Serve, make_oracle
from tests.support.ports import free_port
from tests.support.server import Process
from tests.support.waiting import wait_for_engine

PAGE_TOKENS, PAGES, WAITING, TIMEOUT_S = 32, 64, 4, 120


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The tiny model's directory, and the answers of transformers' own `generate` with it."""
    return make_oracle(tmp_path_factory.mktemp("tiny"), "llama")


@pytest.fixture(scope="session")
def serve(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts `qwen-runtime serve --engine transformers` and waits until it is ready."""
    started: list[Process] = []

    def start(
        *engine: str, flags: tuple[str, ...] = (), sabotage: Path | None = None, model: Path = oracle[0]
    ) -> tuple[Process, Client]:
        port, health_port = free_port(), free_port()
        flags_of_engine = ["--page-size", PAGE_TOKENS, "--num-blocks", PAGES, "--max-waiting", WAITING]
        flags_of_engine += ["--request-timeout-s", TIMEOUT_S, *engine]
        common = ["--max-model-len", CONTEXT, "--dtype", "float32", "--port", port]
        if sabotage is None:
            command = ["-m", "qwen_runtime", "serve", "--engine", "transformers", "--model", model, *common]
            command += ["--health-port", health_port, "--settle-seconds", 1, *flags, "--", *flags_of_engine]
        else:
            command = [sabotage, model, "--served-model-name", NAME, *common, *flags_of_engine]
        started.append(Process(tmp_path_factory.mktemp("log") / "log", command))
        process, client, ready = started[-1], Client(port), Client(port if sabotage else health_port)
        path = "/health" if sabotage else "/health/ready"
        wait_for_engine(lambda: process.process.poll() is not None or ready.answers(path), "ready")
        assert process.process.poll() is None, process.log()
        return process, client

    yield start
    for process in started:
        process.end()


@pytest.fixture(scope="session")
def client(serve: Serve) -> Client:
    return serve()[1]


@pytest.fixture
def idle(client: Client) -> Iterator[Client]:
    """A server that has no request before and after the test."""
    running = "transformers:num_requests_running"
    wait_for_engine(lambda: client.metric(running) == 0, "an idle server")
    yield client
    wait_for_engine(lambda: client.metric(running) == 0, "the end of every request")
