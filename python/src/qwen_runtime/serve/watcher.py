"""The watcher: looks at the engine on a thread of its own, and says whether it is ready, stopped or stalled."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from qwen_runtime.engine.spec import Progress
from qwen_runtime.serve import journal, probe, processes
from qwen_runtime.serve.events import Kind
from qwen_runtime.serve.health import Health, State
from qwen_runtime.serve.progress import ProgressJudge


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the looks at an engine, in seconds."""

    starting_s: float = 0.5
    """Pause between two looks while it starts."""
    ready_s: float = 1.0
    """Pause between two looks once it is ready."""
    longest_look_s: float = 2.0
    """Time that a silent engine gets for an answer. With the pause after it, a stopped process is found within 5 s."""
    shortest_look_s: float = 1.0
    """The same towards the end of the stall limit. With the pause after it, a stall is found within the limit plus
    2 s."""


PACE = Pace()


class Watcher:
    def __init__(
        self,
        health: Health,
        report: Callable[[Kind, str], None],
        *,
        port: int | None,
        served_model_name: str,
        read_progress: Callable[[str], Progress],
        stall_s: float,
        find_change: Callable[[], str | None],
        find_missing: Callable[[], str | None],
        before_ready: Callable[[], None],
        when_ready: Callable[[], None],
    ) -> None:
        """report: called on the watcher's thread. find_change: the file that is no longer as it was verified.
        find_missing: the rank without which a group cannot serve. before_ready, when_ready: each called once. The rest
        is as the supervisor has it."""
        self._health, self._report = health, report
        self._port, self._served_model_name, self._read_progress = port, served_model_name, read_progress
        self._find_change, self._find_missing = find_change, find_missing
        self._before_ready, self._when_ready = before_ready, when_ready
        self._judge = ProgressJudge(stall_s)

    def start(self) -> None:
        self._started = time.monotonic()
        threading.Thread(target=self._watch, name="probe", daemon=True).start()

    def read_progress(self, patience_s: float = PACE.longest_look_s) -> Progress | None:
        """The engine's counters; None where it does not answer."""
        assert self._port is not None
        metrics = probe.read_metrics(self._port, patience_s)
        return self._read_progress(metrics) if metrics is not None else None

    def _watch(self) -> None:
        """Looks at the engine until it is to end. A process that a signal has stopped computes nothing, on any rank."""
        stopped: list[int] = []
        while self._health.state in (State.STARTING, State.READY):
            if self._health.state is State.STARTING and (change := self._find_change()):
                self._report(Kind.CHANGE, change)
                return
            before, stopped = stopped, processes.stopped(os.getpid())
            if lasting := sorted(set(before) & set(stopped)):
                self._report_stall(f"process {lasting[0]} of the engine has been stopped by a signal")
            elif self._port is not None and not stopped:
                self._look(self._port)
            time.sleep(PACE.starting_s if self._health.state is State.STARTING else PACE.ready_s)

    def _look(self, port: int) -> None:
        """Ready follows the engine's own answers. Once it was ready, tokens must move while requests are there."""
        patience_s = clamp(self._judge.left_s(time.monotonic()), PACE.shortest_look_s, PACE.longest_look_s)
        obstacle, silent = self._ask(port, patience_s)
        if obstacle is None and self._health.state is State.STARTING:
            self._before_ready()
            obstacle, silent = self._ask(port, patience_s)  # it may have died meanwhile
        if obstacle is None and self._health.move(State.READY, "the engine answers"):
            seconds = self._health.start_s = round(time.monotonic() - self._started, 1)
            journal.event("ready", f"the engine answered after {seconds} s", start_s=seconds)
            self._when_ready()
        elif self._health.note(obstacle):
            journal.event("probe", obstacle or "the engine answers again")
        if self._health.state is State.READY:
            progress = None if silent else self.read_progress(patience_s)
            if stall := self._judge.find_stall(progress, time.monotonic()):
                self._report_stall(stall)

    def _ask(self, port: int, patience_s: float) -> tuple[str | None, bool]:
        """Why the server cannot answer, and whether the engine was silent. Silence says busy, not broken."""
        # Each question takes a little of the engine's own time.
        listed = self._health.state is State.READY and self._health.obstacle is None
        silent = False
        try:
            obstacle = probe.find_obstacle(port, None if listed else self._served_model_name, patience_s)
        except TimeoutError:
            obstacle, silent = self._health.obstacle, True
        return obstacle or self._find_missing(), silent

    def _report_stall(self, reason: str) -> None:
        if self._health.move(State.STALLED, reason):
            self._report(Kind.STALL, reason)


def clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
