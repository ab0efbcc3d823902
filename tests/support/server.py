"""A server of the runtime package as a process of the serving environment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.commands.serving import ENVIRONMENT
from tests.fakes import no_compilers
from tests.support.client import Client
from tests.support.processes import SOURCE
from tests.support.waiting import ENGINE_PATIENCE_S, wait_for_engine

PYTHON = ENVIRONMENT / "bin/python"


class Process:
    """A server with this tree's package, in the serving environment's Python unless another program is named.

    It finds no compiler, as in the runtime image, so that a part that needs one fails here too unless it is off.
    """

    def __init__(self, log: Path, command: Sequence[object], program: Path = PYTHON, **environment: str) -> None:
        self._log = log
        own = {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "PATH": no_compilers.path()}
        with log.open("wb") as out:
            argv = [str(argument) for argument in (program, *command)]
            # It gets its own session: Linux divides the processors among sessions first, then among processes.
            self.process = subprocess.Popen(
                argv,
                env={**os.environ, **own, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self, health: Client) -> None:
        wait_for_engine(lambda: self.process.poll() is not None or health.answers("/health/ready"), "ready")
        assert self.process.poll() is None, self.log()

    def family(self) -> list[int]:
        """This process and all below it in the order of their starts: the supervisor, the engine, its children."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        parents = dict(map(int, line.split()) for line in listed.splitlines())
        family = {self.process.pid}
        while children := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= children
        return sorted(family)

    def titled(self, title: str) -> int:
        """The process of the family whose title begins with `title`."""
        [match] = [pid for pid in self.family() if Path(f"/proc/{pid}/cmdline").read_text().startswith(title)]
        return match

    def end(self) -> int:
        """Sends SIGTERM, then a second one, which ends the server at once; returns the exit code."""
        for _ in range(2):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
        return self.process.wait(ENGINE_PATIENCE_S)
