"""Progress of long work: one line that moves on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

TERMINAL_INTERVAL_S = 0.5
LOG_INTERVAL_S = 30.0


class Cancelled(Exception):
    """Another part of the same work failed, so this part is not needed any more."""


class Progress:
    """Counts bytes from many threads. Without a stream it only counts, and cancels.

    `total_bytes`: 0 where nobody knows it. The line then has no time left.
    """

    def __init__(
        self, what: str, total_bytes: int, stream: TextIO | None = None, interval_s: float | None = None
    ) -> None:
        self._what, self._total_bytes, self._stream = what, total_bytes, stream
        self._terminal = stream is not None and stream.isatty()
        self._interval_s = interval_s or (TERMINAL_INTERVAL_S if self._terminal else LOG_INTERVAL_S)
        self._done_bytes = 0
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._sleepers: list[Callable[[], None]] = []
        self._started = time.monotonic()
        self._printer = threading.Thread(target=self._print_until_end, daemon=True)

    def advance(self, count_bytes: int) -> None:
        """Adds to the bytes that are done, or takes them back. Raises Cancelled once the work is cancelled."""
        if self._cancelled.is_set():
            raise Cancelled
        with self._lock:
            self._done_bytes += count_bytes

    def say(self, text: str) -> None:
        """Prints a line of its own, which the moving line of a terminal does not touch."""
        if self._stream:
            self._print(f"\r\033[K{text}" if self._terminal else text, "\n")

    def cancel(self) -> None:
        self._cancelled.set()
        for wake in self._sleepers:
            wake()

    def when_cancelled(self, wake: Callable[[], None]) -> None:
        """Registers a callback that wakes parts of the work which wait for something else."""
        self._sleepers.append(wake)

    def sleep(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise Cancelled

    def line(self) -> str:
        elapsed_s = max(time.monotonic() - self._started, 1e-9)
        total = f" of {gigabytes(self._total_bytes)}" if self._total_bytes else ""
        text = f"{self._what}: {gigabytes(self._done_bytes)}{total}, {rate(self._done_bytes / elapsed_s)}"
        share = self._share()
        return f"{text}, {duration(elapsed_s * (1 - share) / share)} left" if share > 0 else text

    def _share(self) -> float:
        """Share of the work that is done; 0 where it is not known."""
        return self._done_bytes / self._total_bytes if self._total_bytes else 0

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        if self._stream:
            self._printer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._stream:
            self._printer.join()
            if self._terminal:
                self._print("\r\033[K", "")

    def _print_until_end(self) -> None:
        while not self._ended.wait(self._interval_s):
            if self._terminal:
                self._print(f"\r{self.line()}\033[K", "")
            else:
                self._print(self.line(), "\n")

    def _print(self, text: str, end: str) -> None:
        print(text, end=end, file=self._stream, flush=True)


def on_stderr(what: str, total_bytes: int) -> Progress:
    return Progress(what, total_bytes, sys.stderr)


def gigabytes(count_bytes: float) -> str:
    return f"{count_bytes / 1e9:.2f} GB"


def rate(bytes_per_s: float) -> str:
    """A rate in the larger unit that has a digit before the point: networks give less than a gigabyte each second."""
    return f"{gigabytes(bytes_per_s)}/s" if bytes_per_s >= 1e9 else f"{bytes_per_s / 1e6:.1f} MB/s"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
