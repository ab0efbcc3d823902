"""Runs one engine as a child: keeps its log, answers for its health, ends it in order, and leaves no orphan.

Threads: main waits for events; one reaps children, one copies the log, one looks at the engine, one answers probes, and
in a group of nodes one keeps in touch with the others.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qwen_runtime import weights
from qwen_runtime.engine.spec import Progress
from qwen_runtime.errors import EngineError, Error, WeightsError
from qwen_runtime.serve import journal, processes
from qwen_runtime.serve.compile_cache import CompileCache
from qwen_runtime.serve.engine_process import EngineProcesses
from qwen_runtime.serve.events import Event, Events, Kind
from qwen_runtime.serve.group import Follower, Leader
from qwen_runtime.serve.health import Health, State
from qwen_runtime.serve.health_server import HealthServer
from qwen_runtime.serve.watcher import Watcher

LOOK = "Read the engine's last lines above; they name the cause."


@dataclass(frozen=True, slots=True)
class Patience:
    """Times that requests and the engine have after the first signal, in seconds."""

    settle_s: float
    """New requests may still arrive, and are answered."""
    drain_s: float
    """Running requests may end."""
    exit_s: float = 5.0
    """Time between the engine's own SIGTERM, sent when it has nothing left to do, and SIGKILL."""
    look_s: float = 0.5
    """Pause between two looks at the requests that still run."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a server for one kind of event."""

    name: str
    """Name in the log, for machines."""
    error: type[Error]
    needed: str
    remedy: str


FAILURES = {
    Kind.EXIT: Failure("engine-died", EngineError, "an engine that runs until SIGTERM", LOOK),
    Kind.STALL: Failure(
        "engine-stalled",
        EngineError,
        "tokens that move while requests run",
        f"{LOOK} If it was only slow, raise --stall-seconds.",
    ),
    Kind.CHANGE: Failure("weights-changed", WeightsError, "the files that were verified", weights.STAGE_AGAIN),
    Kind.LOST: Failure(
        "group-lost",
        EngineError,
        "every rank of the group",
        "Read the last lines of that rank; they name the cause.",
    ),
}


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
        cache: CompileCache | None = None,
        warm: Callable[[], None] = lambda: None,
    ) -> None:
        """environments: one for each rank of the engine on this host. port: of the engine's API; None for a follower's
        engine, which has none. find_change: the file that is no longer as it was verified. warm: called between the
        engine's first answer and ready."""
        self._patience = Patience(settle_s, drain_s)
        self._group, self._cache = group, cache
        self._events = Events()
        self._health = Health()
        self._health_server = HealthServer(self._health, health_port)
        self._engine = EngineProcesses(command, environments)
        self._watcher = Watcher(
            self._health,
            self._events.report,
            port=port,
            served_model_name=served_model_name,
            read_progress=read_progress,
            stall_s=stall_s,
            find_change=find_change,
            find_missing=group.find_missing if isinstance(group, Leader) else lambda: None,
            before_ready=warm,
            when_ready=cache.keep_in_background if cache else lambda: None,
        )

    def run(self) -> None:
        """Returns after an orderly end; EngineError with the reason where the engine, or one of its ranks, ended by
        itself."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._events.report(Kind.STOP, signal.Signals(number).name))
        self._engine.start(lambda reason: self._events.report(Kind.EXIT, reason))
        self._watcher.start()
        self._health_server.start()
        if self._group:
            self._group.start(self._health, self._events.report)
        try:
            self._wait()
        except Error as error:
            if self._group:
                self._group.end(error.found, orderly=False)
            raise
        finally:
            survivors = self._engine.kill()
            self._health_server.stop()
            if survivors:
                journal.event("orphans", f"processes {survivors} did not end after SIGKILL")

    def _wait(self) -> None:
        """Waits for the first event, and ends the server as that event asks."""
        event = self._events.wait(math.inf)
        assert event is not None
        # While the whole group drains, a follower's engine ends with the leader's.
        expected = event.kind is Kind.EXIT and self._health.state is State.DRAINING
        if event.kind in FAILURES and not expected:
            raise self._failure(event)
        if event.kind is Kind.STOP:
            event = Event(Kind.STOP, f"{event.reason} was received")
        if isinstance(self._group, Follower):
            self._follow(self._group, event)
        else:
            self._drain(event.reason)

    def _failure(self, event: Event) -> Error:
        """The error to raise; it also goes to the probes and the log."""
        reason = self._describe_death(event.reason) if event.kind is Kind.EXIT else event.reason
        failure = FAILURES[event.kind]
        if self._cache and event.kind is Kind.EXIT and self._health.state is State.STARTING:
            self._cache.blame(reason)
        self._health.move(State.DEAD, reason)
        journal.event(failure.name, reason)
        return failure.error(reason, failure.needed, failure.remedy)

    def _describe_death(self, end: str) -> str:
        reason = f"{end} without being asked to"
        if self._health.state is State.READY and self._health.obstacle:
            reason += f" (before that, {self._health.obstacle})"
        if processes.shared_memory_is_full():
            reason += " (/dev/shm is full: an engine that writes to it is killed)"
        self._engine.kill()  # only now is its log whole
        error = self._engine.describe_error()
        return f"{reason}; {error}" if error else reason

    def _follow(self, group: Follower, event: Event) -> None:
        """Ends a follower. It knows of no requests: the leader lets them end, and says when."""
        started = time.monotonic()
        self._health.move(State.DRAINING, event.reason)
        journal.event("draining", event.reason)
        if event.kind is Kind.STOP:
            group.ask_drain(event.reason)
            patience = self._patience
            answer = self._events.wait(patience.settle_s + patience.drain_s + patience.exit_s)
            event = answer or Event(Kind.END, "the leader did not say that requests have ended")
        if event.kind in (Kind.END, Kind.LOST):
            journal.event("group-ended", event.reason)
        self._stop(event if event.kind in (Kind.STOP, Kind.EXIT) else None, started)

    def _drain(self, reason: str) -> None:
        """Lets requests end before the engine hears of it: an engine that shuts down answers late ones with errors."""
        was_ready = self._health.state is State.READY
        self._health.move(State.DRAINING, reason)
        journal.event("draining", f"{reason}: running requests have {self._patience.drain_s:g} s to end")
        started = time.monotonic()
        cut_short = self._wait_idle(started) if was_ready else None
        if self._group:
            self._group.end(reason, orderly=True)
        self._stop(cut_short, started)

    def _wait_idle(self, started: float) -> Event | None:
        """None once nothing runs any more or the time is over; otherwise the event that ended the wait."""
        while (waited_s := time.monotonic() - started) < self._patience.drain_s:
            progress = self._watcher.read_progress()
            if progress is not None and progress.requests == 0 and waited_s >= self._patience.settle_s:
                return None
            if event := self._events.wait_urgent(self._patience.look_s):
                return event
        journal.event("drain-deadline", f"requests still ran after {self._patience.drain_s:g} s; they are cut off")
        return None

    def _stop(self, cut_short: Event | None, started: float) -> None:
        """Ends the engine. `cut_short` is the event that leaves it no time, if any."""
        exit_s = self._patience.exit_s
        last = cut_short or self._terminate(time.monotonic() + exit_s)
        drain_s = round(time.monotonic() - started, 3)
        if last is None:
            journal.event("killed", f"the engine did not end within {exit_s:g} s of SIGTERM", drain_s=drain_s)
        elif last.kind is Kind.EXIT:
            journal.event("stopped", last.reason, drain_s=drain_s)
        else:
            journal.event("cut", f"the engine is ended at once ({last.reason})", drain_s=drain_s)

    def _terminate(self, deadline: float) -> Event | None:
        """Asks the engine to end. Returns the end of its last rank, None at the deadline, or an event that cuts in."""
        self._engine.terminate()
        event = None
        for _ in range(self._engine.count):
            event = self._events.wait_urgent(deadline - time.monotonic())
            if event is None or event.kind is not Kind.EXIT:
                break
        return event
