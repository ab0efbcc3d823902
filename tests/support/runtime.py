"""`qwen-runtime serve` as a process, with the stand-in engine below it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.vllm_site import write_vllm_site
from tests.support.client import get
from tests.support.ports import free_port
from tests.support.processes import SOURCE
from tests.support.waiting import PATIENCE_S, wait_until


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
        """within: a command that replaces itself by another one, in surroundings that it has made."""
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
    """Starts runtimes with the stand-in engine; those that still run afterwards get these signals."""
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
