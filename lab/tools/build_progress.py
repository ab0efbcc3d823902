"""Progress of the builds of the tools: which are being built, how many are done, and about how long the rest takes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lab.tools.go_modules import Module

# While one program links, on one core, the next one is fetched and compiled.
AT_A_TIME = 2
EVERY_S = 60
# A build that takes longer than estimated counts as this far, not as done.
AT_MOST_DONE = 0.95


class BuildProgress:
    """Printer of progress: each module as its build ends, and once a minute what is being built and what is left."""

    def __init__(self, modules: Sequence[Module], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = clock()
        self._cost_s = {module.name: module.cost_s for module in modules}
        self._running: dict[str, float] = {}
        self._built: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Print while the block runs; nothing when there is nothing to build."""
        if not self._cost_s:
            yield
            return
        print(f"      {len(self._cost_s)} to build, {self._left()}", flush=True)
        printer = threading.Thread(target=self._print_regularly, daemon=True)
        printer.start()
        try:
            yield
        finally:
            self._over.set()
            printer.join()

    @contextmanager
    def building(self, module: Module) -> Iterator[None]:
        """Count the module as being built while the block runs, and as built when it succeeds."""
        with self._lock:
            # A module that was found damaged was not counted at the start.
            self._cost_s.setdefault(module.name, module.cost_s)
            self._running[module.name] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                seconds = self._clock() - self._running.pop(module.name)
        with self._lock:
            self._built.append(module.name)
            print(f"      built {module.name} ({seconds:.0f} s), {self.line()}", flush=True)

    def line(self) -> str:
        """The line that says how many are built, which are being built, and about how long the rest takes."""
        now = f", building {', '.join(self._running)}" if self._running else ""
        return f"{len(self._built)} of {len(self._cost_s)}{now}{self._left(', ')}"

    def _left(self, before: str = "") -> str:
        seconds = self._seconds_left()
        return f"{before}about {max(1, round(seconds / 60))} min left" if seconds else ""

    def _seconds_left(self) -> float:
        """Estimate from the work done so far. A module that is being built counts by its time, and never as done."""
        cores = os.cpu_count() or 1
        now, total = self._clock(), sum(self._cost_s.values())
        each = cores / AT_A_TIME
        done = sum(self._cost_s[name] for name in self._built) + sum(
            min(AT_MOST_DONE * self._cost_s[name], (now - since) * each) for name, since in self._running.items()
        )
        speed = done / (now - self._started_at) if done else cores
        return (total - done) / speed

    def _print_regularly(self) -> None:
        while not self._over.wait(EVERY_S):
            with self._lock:
                print(f"      {self.line()}", flush=True)
