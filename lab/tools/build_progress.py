"""What the builds of the tools say while they last: which, how many of how many, and about how long yet."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lab.tools.go_modules import Module

# One program links, on one core, while the next one is fetched and compiled.
AT_A_TIME = 2
EVERY_S = 60
# A build that takes longer than it should is still not over.
AT_MOST_DONE = 0.95


class BuildProgress:
    """Prints each module as its build ends, and once a minute what is being built and what is left."""

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
        """Print while the block lasts; nothing when there is nothing to build."""
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
        """Count the module as being built while the block lasts, and as built when it ends well."""
        with self._lock:
            # One that was found damaged was not counted from the start.
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
        """How many are built, which are being built, and about how long the rest takes."""
        now = f", building {', '.join(self._running)}" if self._running else ""
        return f"{len(self._built)} of {len(self._cost_s)}{now}{self._left(', ')}"

    def _left(self, before: str = "") -> str:
        seconds = self._seconds_left()
        return f"{before}about {max(1, round(seconds / 60))} min left" if seconds else ""

    def _seconds_left(self) -> float:
        """From what has been done so far; what is being built counts as far as its time is gone, and never whole."""
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
