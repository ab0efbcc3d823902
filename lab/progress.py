"""Progress of a long step: now and then a line says what it does, how far it is and how long the rest will take.

Standard library only: the first step installs packages.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 15
LONGEST = 70


@dataclass(frozen=True, slots=True)
class State:
    """The part `what` is being done, after `done` parts of `total`; 0 while the total is unknown.

    share: share of the whole work that is done, 0 to 1
    """

    what: str
    done: int = 0
    total: int = 0
    share: float = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """Patterns that read parts from the output of a program.

    begun: matches the line that begins a part, with the part's name as its group; empty: the last line is shown
    total: number of parts, or a pattern of the line that has it; 0 while it is unknown
    costs: parts that take longer than the others, and how many times as long
    """

    begun: str = ""
    total: int | str = 0
    costs: Mapping[str, int] = field(default_factory=dict)

    def read(self, output: str) -> State:
        if not self.begun:
            lines = [line for line in output.splitlines() if line.strip()]
            return State(lines[-1].strip() if lines else "")
        begun = re.findall(self.begun, output, re.MULTILINE)
        done, total = begun[:-1], self._total(output)
        whole = total + sum(self.costs.values()) - len(self.costs)
        share = sum(self.costs.get(part, 1) for part in done) / whole if whole else 0
        return State(begun[-1] if begun else "", len(done), total, share)

    def _total(self, output: str) -> int:
        if isinstance(self.total, int):
            return self.total
        match = re.search(self.total, output, re.MULTILINE)
        return int(match[1]) if match else 0


APT_DOWNLOAD = Parts(r"^Get:\d+ \S+ \S+ \S+ (\S+)", r", (\d+) newly installed")
APT_INSTALL = Parts(r"^Setting up (\S+)", r", (\d+) newly installed")
LAST_LINE = Parts()


def line(state: State, elapsed_s: float) -> str:
    """A line like "12 of 36: unpacking haproxy, 1:10 so far, about 3 min left"."""
    part = state.done + 1
    count = f"{part} of {state.total}: " if part <= state.total else f"{part}: " if state.done else ""
    left_s = elapsed_s / state.share * (1 - state.share) if 0 < state.share < 1 else 0
    left = f", about {_rounded(left_s)} left" if left_s else ""
    return f"{count}{state.what[:LONGEST]}, {elapsed_s // 60:.0f}:{elapsed_s % 60:02.0f} so far{left}"


def _rounded(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min" if seconds >= 50 else f"{max(1, round(seconds / 10)) * 10} s"


@contextlib.contextmanager
def shown(read: Callable[[], State]) -> Iterator[None]:
    """Print the state now and then while the block runs; a short block prints nothing."""
    over = threading.Event()
    begun = time.monotonic()

    def print_regularly() -> None:
        while not over.wait(EVERY_S):
            state = read()
            if state.what:
                print(f"      {line(state, time.monotonic() - begun)}", flush=True)

    printer = threading.Thread(target=print_regularly, daemon=True)
    printer.start()
    try:
        yield
    finally:
        over.set()
        printer.join()


def followed(log: Path, start: int, parts: Parts) -> contextlib.AbstractContextManager[None]:
    """Print the progress of a program, read from its log from an offset on."""

    def read() -> State:
        with log.open("rb") as stream:
            stream.seek(start)
            return parts.read(stream.read().decode(errors="replace"))

    return shown(read)
