"""`qwen-runtime serve` as a process, with the stand-in engine below it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.vllm_site import write_vllm_site

SOURCE = Path(__file__).parents[2] / "python/src"
PATIENCE_S = 120
"""How long a test waits for what must happen; a shared machine may stand still for half a minute, disks longest."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {patience_s:g} s")


def get(port: int, path: str, method: str = "GET", timeout_s: float = PATIENCE_S) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Runtime:
    def __init__(
        self,
        site: Path,
        model_dir: Path,
        log: Path,
        *flags: str,
        engine: tuple[str, ...] = (),
        within: tuple[str, ...] = (),
    ) -> None:
        """within: a command that runs another one in its own place, in a surrounding of its making."""
        self.port, self.health_port = free_port(), free_port()
        self.group_port = 0
        self._log = log
        environment = {**os.environ, "PYTHONPATH": f"{site}:{SOURCE}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "qwen_runtime", "serve", "--model", str(model_dir), "--max-model-len", "2048"]
        command += ["--port", str(self.port), "--health-port", str(self.health_port), "--settle-seconds", "1", *flags]
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
            self.process = subprocess.Popen([*within, *command, "--", *engine], env=environment, stdout=out, stderr=err)

    def health(self, kind: str) -> int:
        """Status of /health/<kind>; 0 where nothing listens."""
        try:
            return get(self.health_port, f"/health/{kind}")[0]
        except OSError:
            return 0

    def wait_ready(self) -> None:
        wait_until(lambda: self.health("ready") == 200 or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.errors()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log() if entry["source"] == "supervisor"]

    def errors(self) -> str:
        return self._log.with_suffix(".err").read_text()

    def engine_pid(self) -> int:
        [started] = [entry for entry in self.log() if entry.get("event") == "engine-started"]
        return int(started["message"].split()[-1])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


@contextmanager
def runtimes(folder: Path, model_dir: Path, *ended_by: signal.Signals) -> Iterator[Callable[..., Runtime]]:
    """Starts runtimes with the stand-in engine; what still runs afterwards gets these signals."""
    write_vllm_site(folder / "site")
    started: list[Runtime] = []

    def start(*flags: str, engine: tuple[str, ...] = (), within: tuple[str, ...] = ()) -> Runtime:
        log = folder / f"log{len(started)}"
        started.append(Runtime(folder / "site", model_dir, log, *flags, engine=engine, within=within))
        return started[-1]

    yield start
    for runtime in started:
        if runtime.process.poll() is None:
            for number in ended_by:
                runtime.signal(number)
            runtime.wait()
        print(*runtime.log(), runtime.errors(), sep="\n")  # pytest shows it beside a failure
