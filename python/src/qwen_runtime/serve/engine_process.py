"""The engine's processes on this host: one, or one a rank. They are started, reaped and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from qwen_runtime.serve import journal, processes
from qwen_runtime.serve.engine_log import EngineLog


class EngineProcesses:
    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> None:
        """environments: one for each rank. SIGTERM to the first rank ends them all."""
        self._command, self._environments = list(command), list(environments)
        self._logs = [EngineLog() for _ in environments]
        self._first_ended = 0  # the log of this rank has the cause; those of the others only miss it

    @property
    def count(self) -> int:
        return len(self._environments)

    def start(self, report_exit: Callable[[str], None]) -> None:
        """Starts all ranks; `report_exit` is called on another thread, with words for each that ended."""
        # All are started before any thread exists, so that the code between fork and exec is safe to run.
        self._ranks = [self._start(environment) for environment in self._environments]
        pids = ", ".join(str(rank.pid) for rank in self._ranks)
        journal.event("engine-started", f"the engine runs as process{'es' if self.count > 1 else ''} {pids}")
        for rank, log in zip(self._ranks, self._logs, strict=True):
            assert rank.stdout is not None
            log.follow(rank.stdout)
        threading.Thread(target=self._reap, args=(report_exit,), name="reaper", daemon=True).start()

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=processes.end_with_parent,
        )

    def _reap(self, report_exit: Callable[[str], None]) -> None:
        """Collects every child, the adopted ones too; Popen must not wait for its own, or it would miss the status."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            for number, rank in enumerate(self._ranks):
                if pid == rank.pid:
                    if all(other.returncode is None for other in self._ranks):
                        self._first_ended = number
                    rank.returncode = os.waitstatus_to_exitcode(status)
                    name = f"rank {number} of the engine (process {pid})" if self.count > 1 else f"engine process {pid}"
                    report_exit(f"{name} {processes.describe_exit(status)}")

    def terminate(self) -> None:
        """Asks the engine to end, which its first rank does for all of them."""
        self._ranks[0].send_signal(signal.SIGTERM)

    def kill(self) -> list[int]:
        """Ends every process of the engine and reads the rest of its log; returns what survived."""
        survivors = processes.end_all(os.getpid())
        for log in self._logs:
            log.wait_end()
        return survivors

    def describe_error(self) -> str | None:
        """The last error in the log of the rank that ended first; the log is whole after `kill`."""
        return self._logs[self._first_ended].describe_error()
