"""Runs one engine as a child and answers for it: its log, its health, its orderly end, and no orphan afterwards.

Threads: main waits for what happens; one reaps children, one copies the log, one asks the engine, one answers probes.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from qwen_runtime.engine.spec import Progress
from qwen_runtime.errors import EngineError
from qwen_runtime.serve import journal, probe, processes
from qwen_runtime.serve.health import Health, HealthServer, State
from qwen_runtime.serve.progress import ProgressJudge

PROBE_STARTING_S = 0.5
PROBE_READY_S = 2.0
PROBE_DRAINING_S = 0.5
WAKE_S = 1.0
"""Python runs a signal's handler in the main thread only; should the kernel give the signal to another thread, the main
thread finds out at its next wake."""
EXIT_S = 5.0
"""Time from the engine's own SIGTERM, sent when it has nothing left to do, to SIGKILL."""

_STOP, _EXIT, _STALL = "stop", "exit", "stall"


class Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        port: int,
        health_port: int,
        served_model_name: str,
        read_progress: Callable[[str], Progress],
        stall_s: float,
        settle_s: float,
        drain_s: float,
    ) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._port, self._served_model_name, self._read_progress = port, served_model_name, read_progress
        self._stall_s, self._settle_s, self._drain_s = stall_s, settle_s, drain_s
        self._health = Health()
        self._health_server = HealthServer(self._health, health_port)
        # SimpleQueue.put is safe inside a signal handler.
        self._events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def run(self) -> None:
        """Returns after an orderly end; EngineError with the reason where the engine ended by itself."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._events.put((_STOP, number)))
        started = time.monotonic()
        # Before any thread exists, so that the code between fork and exec is safe to run.
        child = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=processes.end_with_parent,
        )
        journal.event("engine-started", f"the engine runs as process {child.pid}")
        assert child.stdout is not None
        reader = threading.Thread(target=journal.pass_through, args=(child.stdout,), name="log", daemon=True)
        reader.start()
        threading.Thread(target=self._reap, args=(child,), name="reaper", daemon=True).start()
        threading.Thread(target=self._watch, args=(started,), name="probe", daemon=True).start()
        self._health_server.start()
        try:
            self._wait(child)
        finally:
            survivors = processes.end_all(os.getpid())
            reader.join(timeout=2)
            self._health_server.stop()
            if survivors:
                journal.event("orphans", f"processes {survivors} did not end after SIGKILL")

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        while (event := self._next_event(WAKE_S)) is None:
            pass
        kind, value = event
        if kind == _EXIT:
            reason = f"engine process {child.pid} {processes.describe_exit(value)} without being asked to"
            if self._health.state is State.READY and self._health.obstacle:
                reason += f" (before that, {self._health.obstacle})"
            self._health.move(State.DEAD, reason)
            journal.event("engine-died", reason)
            raise EngineError(
                reason, "an engine that runs until SIGTERM", "Read the engine's last lines above; they name the cause."
            )
        if kind == _STALL:
            journal.event("engine-stalled", self._health.reason)
            raise EngineError(
                self._health.reason,
                "tokens that move while requests run",
                "Read the engine's last lines above. If it was only slow, raise --stall-seconds.",
            )
        self._drain(child, signal.Signals(value).name)

    def _drain(self, child: subprocess.Popen[bytes], signal_name: str) -> None:
        """Lets requests end before the engine hears of it: an engine that shuts down answers late ones with errors."""
        was_ready = self._health.state is State.READY
        self._health.move(State.DRAINING, f"{signal_name} was received")
        journal.event("draining", f"{signal_name}: running requests have {self._drain_s:g} s to end")
        started = time.monotonic()
        ended = self._wait_idle(started) if was_ready else None
        if ended is None:
            child.send_signal(signal.SIGTERM)
            ended = self._next_event(EXIT_S)
        drain_s = round(time.monotonic() - started, 3)
        if ended is None:
            journal.event("killed", f"the engine did not end within {EXIT_S:g} s of SIGTERM", drain_s=drain_s)
        elif ended[0] == _STOP:
            journal.event("cut", f"a second {signal.Signals(ended[1]).name} ends the engine at once", drain_s=drain_s)
        else:
            journal.event("stopped", f"the engine {processes.describe_exit(ended[1])}", drain_s=drain_s)

    def _wait_idle(self, started: float) -> tuple[str, int] | None:
        """None once nothing runs any more or the time is over; otherwise the event that ended the wait."""
        while (waited_s := time.monotonic() - started) < self._drain_s:
            progress = self._look()
            if progress is not None and progress.requests == 0 and waited_s >= self._settle_s:
                return None
            if event := self._next_event(PROBE_DRAINING_S):
                return event
        journal.event("drain-deadline", f"requests still ran after {self._drain_s:g} s; they are cut off")
        return None

    def _look(self) -> Progress | None:
        metrics = probe.read_metrics(self._port)
        return self._read_progress(metrics) if metrics is not None else None

    def _next_event(self, timeout_s: float) -> tuple[str, int] | None:
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _reap(self, child: subprocess.Popen[bytes]) -> None:
        """Collects every child, the adopted ones too; Popen must not wait for its own, or it would miss the status."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            if pid == child.pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                self._events.put((_EXIT, status))

    def _watch(self, started: float) -> None:
        """Ready follows the engine's own answers. An answer that only takes long says busy, not broken.

        Once the engine was ready, tokens must move while requests are there.
        """
        judge = ProgressJudge(self._stall_s)
        while self._health.state in (State.STARTING, State.READY):
            try:
                obstacle = probe.find_obstacle(self._port, self._served_model_name)
            except TimeoutError:
                obstacle = self._health.obstacle
            if obstacle is None and self._health.move(State.READY, "the engine answers"):
                seconds = round(time.monotonic() - started, 1)
                journal.event("ready", f"the engine answered after {seconds} s", start_s=seconds)
            elif self._health.note(obstacle):
                journal.event("probe", obstacle or "the engine answers again")
            if self._health.state is State.READY:
                stall = judge.find_stall(self._look(), time.monotonic())
                if stall and self._health.move(State.STALLED, stall):
                    self._events.put((_STALL, 0))
            time.sleep(PROBE_STARTING_S if self._health.state is State.STARTING else PROBE_READY_S)
