"""Runs one engine as a child and answers for it: its log, its health, its orderly end, and no orphan afterwards.

Threads: main waits for what happens; one reaps children, one copies the log, one looks at the engine, one answers
probes, and in a group of nodes one keeps in touch with the others.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from qwen_runtime import weights
from qwen_runtime.engine.spec import Progress
from qwen_runtime.errors import EngineError, Error, WeightsError
from qwen_runtime.serve import journal, probe, processes
from qwen_runtime.serve.engine_log import EngineLog
from qwen_runtime.serve.group import DRAIN, END, LOST, Follower, Leader
from qwen_runtime.serve.health import Health, State
from qwen_runtime.serve.health_server import HealthServer
from qwen_runtime.serve.progress import ProgressJudge

PROBE_STARTING_S = 0.5
PROBE_READY_S = 1.0
PROBE_DRAINING_S = 0.5
PROBE_PATIENCE_S = (1.0, 2.0)
"""The longest look at a silent engine is the latter, and towards the end of the stall limit the former: with the pause
after it, a stall is found within the limit plus 2 s, and a stopped process within 5 s."""
WAKE_S = 1.0
"""Python runs a signal's handler in the main thread only, between two of its steps. A signal that reaches another
thread, or the main one just before it sleeps, is heard at the next wake."""
EXIT_S = 5.0
"""Time from the engine's own SIGTERM, sent when it has nothing left to do, to SIGKILL."""

LOOK = "Read the engine's last lines above; they name the cause."
# What happens, beside what a group reports; each with a reason.
_STOP, _EXIT, _STALL, _CHANGE = "stop", "exit", "stall", "change"
Event = tuple[str, str]
Ranks = Sequence[subprocess.Popen[bytes]]


class Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        *,
        port: int | None,
        health_port: int,
        served_model_name: str,
        read_progress: Callable[[str], Progress],
        stall_s: float,
        settle_s: float,
        drain_s: float,
        find_change: Callable[[], str | None],
        group: Leader | Follower | None = None,
    ) -> None:
        """environments: of each rank of the engine on this host; the first one, told to end, ends the others. port: of
        the engine's API; None for a follower's engine, which has none. find_change: what is no longer as it was
        verified."""
        self._command, self._environments = list(command), list(environments)
        self._port, self._served_model_name, self._read_progress = port, served_model_name, read_progress
        self._stall_s, self._settle_s, self._drain_s = stall_s, settle_s, drain_s
        self._find_change = find_change
        self._group = group
        self._signals = 0
        self._logs = [EngineLog() for _ in environments]
        self._first_ended = 0  # of the ranks: its log has the cause, those of the others only miss it
        self._health = Health()
        self._health_server = HealthServer(self._health, health_port)
        # SimpleQueue.put is safe inside a signal handler.
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def run(self) -> None:
        """Returns after an orderly end; EngineError with the reason where the engine, or one of its ranks, ended by
        itself."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._events.put((_STOP, signal.Signals(number).name)))
        started = time.monotonic()
        # Before any thread exists, so that the code between fork and exec is safe to run.
        ranks = [self._start(environment) for environment in self._environments]
        pids = ", ".join(str(rank.pid) for rank in ranks)
        journal.event("engine-started", f"the engine runs as process{'es' if len(ranks) > 1 else ''} {pids}")
        for rank, log in zip(ranks, self._logs, strict=True):
            assert rank.stdout is not None
            log.follow(rank.stdout)
        threading.Thread(target=self._reap, args=(ranks,), name="reaper", daemon=True).start()
        threading.Thread(target=self._watch, args=(started,), name="probe", daemon=True).start()
        self._health_server.start()
        if self._group:
            self._group.start(self._health, lambda kind, reason: self._events.put((kind, reason)))
        try:
            self._wait(ranks)
        except Error as error:
            if self._group:
                self._group.end(error.found, orderly=False)
            raise
        finally:
            survivors = self._end_all()
            self._health_server.stop()
            if survivors:
                journal.event("orphans", f"processes {survivors} did not end after SIGKILL")

    def _end_all(self) -> list[int]:
        """Ends every process of the engine and reads the rest of its log; returns what survived."""
        survivors = processes.end_all(os.getpid())
        for log in self._logs:
            log.wait_end()
        return survivors

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

    def _wait(self, ranks: Ranks) -> None:
        event = self._next_event(math.inf)
        assert event is not None
        kind, reason = event
        if kind == _EXIT and self._health.state is not State.DRAINING:
            reason = self._describe_death(reason)
            raise self._failure("engine-died", EngineError(reason, "an engine that runs until SIGTERM", LOOK))
        if kind == _STALL:
            remedy = f"{LOOK} If it was only slow, raise --stall-seconds."
            raise self._failure("engine-stalled", EngineError(reason, "tokens that move while requests run", remedy))
        if kind == _CHANGE:
            error = WeightsError(reason, "the files that were verified", weights.STAGE_AGAIN)
            raise self._failure("weights-changed", error)
        if kind == LOST:
            remedy = "Read the last lines of that rank; they name the cause."
            raise self._failure("group-lost", EngineError(reason, "every rank of the group", remedy))
        if kind == _STOP:
            reason += " was received"
        if isinstance(self._group, Follower):
            self._follow(ranks, self._group, kind, reason)
        else:
            self._drain(ranks, reason)

    def _describe_death(self, end: str) -> str:
        reason = f"{end} without being asked to"
        if self._health.state is State.READY and self._health.obstacle:
            reason += f" (before that, {self._health.obstacle})"
        if processes.shared_memory_is_full():
            reason += " (/dev/shm is full: an engine that writes to it is killed)"
        self._end_all()  # only now is its log whole
        error = self._logs[self._first_ended].describe_error()
        return f"{reason}; {error}" if error else reason

    def _failure(self, name: str, error: Error) -> Error:
        """Tells probes and the log; whoever raises it ends the server."""
        self._health.move(State.DEAD, error.found)
        journal.event(name, error.found)
        return error

    def _follow(self, ranks: Ranks, group: Follower, kind: str, reason: str) -> None:
        """A follower knows of no requests: the leader lets them end, and says when."""
        started = time.monotonic()
        self._health.move(State.DRAINING, reason)
        journal.event("draining", reason)
        if kind == _STOP:
            group.ask_drain(reason)
            silence = (END, "the leader did not say that requests have ended")
            kind, reason = self._next_event(self._settle_s + self._drain_s + EXIT_S) or silence
        if kind in (END, LOST):
            journal.event("group-ended", reason)
        self._stop(ranks, (kind, reason) if kind in (_STOP, _EXIT) else None, started)

    def _drain(self, ranks: Ranks, reason: str) -> None:
        """Lets requests end before the engine hears of it: an engine that shuts down answers late ones with errors."""
        was_ready = self._health.state is State.READY
        self._health.move(State.DRAINING, reason)
        journal.event("draining", f"{reason}: running requests have {self._drain_s:g} s to end")
        started = time.monotonic()
        ended = self._wait_idle(started) if was_ready else None
        if self._group:
            self._group.end(reason, orderly=True)
        self._stop(ranks, ended, started)

    def _stop(self, ranks: Ranks, ended: Event | None, started: float) -> None:
        """The engine's end; `ended` is what has ended the wait for it already, if anything."""
        if ended is None:
            ranks[0].send_signal(signal.SIGTERM)
            deadline = time.monotonic() + EXIT_S
            for _ in ranks:
                ended = self._next_change(deadline - time.monotonic())
                if ended is None or ended[0] != _EXIT:
                    break
        drain_s = round(time.monotonic() - started, 3)
        if ended is None:
            journal.event("killed", f"the engine did not end within {EXIT_S:g} s of SIGTERM", drain_s=drain_s)
        elif ended[0] == _EXIT:
            journal.event("stopped", ended[1], drain_s=drain_s)
        else:
            journal.event("cut", f"the engine is ended at once ({ended[1]})", drain_s=drain_s)

    def _wait_idle(self, started: float) -> Event | None:
        """None once nothing runs any more or the time is over; otherwise the event that ended the wait."""
        while (waited_s := time.monotonic() - started) < self._drain_s:
            progress = self._look(PROBE_PATIENCE_S[1])
            if progress is not None and progress.requests == 0 and waited_s >= self._settle_s:
                return None
            if event := self._next_change(PROBE_DRAINING_S):
                return event
        journal.event("drain-deadline", f"requests still ran after {self._drain_s:g} s; they are cut off")
        return None

    def _look(self, patience_s: float) -> Progress | None:
        assert self._port is not None
        metrics = probe.read_metrics(self._port, patience_s)
        return self._read_progress(metrics) if metrics is not None else None

    def _next_event(self, timeout_s: float) -> Event | None:
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=min(left_s, WAKE_S))
                self._signals += event[0] == _STOP
                return event
        return None

    def _next_change(self, timeout_s: float) -> Event | None:
        """The next event that asks for more than the end that is under way: all pods of a group may hear SIGTERM."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            event = self._next_event(left_s)
            if event and event[0] != DRAIN and (event[0] != _STOP or self._signals > 1):
                return event
        return None

    def _reap(self, ranks: Ranks) -> None:
        """Collects every child, the adopted ones too; Popen must not wait for its own, or it would miss the status."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            for number, rank in enumerate(ranks):
                if pid == rank.pid:
                    if not any(other.returncode is not None for other in ranks):
                        self._first_ended = number
                    rank.returncode = os.waitstatus_to_exitcode(status)
                    who = f"rank {number} of the engine (process {pid})" if len(ranks) > 1 else f"engine process {pid}"
                    self._events.put((_EXIT, f"{who} {processes.describe_exit(status)}"))

    def _watch(self, started: float) -> None:
        """Looks at the engine until it is to end. A process that a signal has stopped computes nothing, on any rank."""
        judge = ProgressJudge(self._stall_s)
        stopped: list[int] = []
        while self._health.state in (State.STARTING, State.READY):
            if self._health.state is State.STARTING and (change := self._find_change()):
                self._events.put((_CHANGE, change))
                return
            before, stopped = stopped, processes.stopped(os.getpid())
            if lasting := sorted(set(before) & set(stopped)):
                self._stall(f"process {lasting[0]} of the engine has been stopped by a signal")
            elif self._port is not None and not stopped:
                self._ask(self._port, judge, started)
            time.sleep(PROBE_STARTING_S if self._health.state is State.STARTING else PROBE_READY_S)

    def _ask(self, port: int, judge: ProgressJudge, started: float) -> None:
        """Ready follows the engine's own answers. An answer that only takes long says busy, not broken.

        Once the engine was ready, tokens must move while requests are there.
        """
        silent = False
        patience_s = sorted((*PROBE_PATIENCE_S, judge.left_s(time.monotonic())))[1]
        # Each question takes a little of the engine's own time.
        listed = self._health.state is State.READY and self._health.obstacle is None
        try:
            obstacle = probe.find_obstacle(port, None if listed else self._served_model_name, patience_s)
        except TimeoutError:
            obstacle, silent = self._health.obstacle, True
        if isinstance(self._group, Leader):
            obstacle = obstacle or self._group.find_missing()
        if obstacle is None and self._health.move(State.READY, "the engine answers"):
            seconds = self._health.start_s = round(time.monotonic() - started, 1)
            journal.event("ready", f"the engine answered after {seconds} s", start_s=seconds)
        elif self._health.note(obstacle):
            journal.event("probe", obstacle or "the engine answers again")
        if self._health.state is State.READY:
            stall = judge.find_stall(None if silent else self._look(patience_s), time.monotonic())
            if stall:
                self._stall(stall)

    def _stall(self, reason: str) -> None:
        if self._health.move(State.STALLED, reason):
            self._events.put((_STALL, reason))
