"""Long work reports its progress, on one line of a terminal and as lines elsewhere, and can be cancelled."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest
from qwen_runtime.weights.digest import in_parallel
from qwen_runtime.weights.progress import Cancelled, Progress, duration, rate

from tests.support.waiting import wait_until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_whole_lines_with_rate_and_time_left() -> None:
    log = io.StringIO()
    with Progress("verify", 4_000_000_000_000, log, interval_s=0.01) as progress:
        progress.advance(1_000_000_000_000)
        wait_until(lambda: log.getvalue().count("\n") > 1, "two lines")
    line = log.getvalue().splitlines()[0]
    assert line.startswith("verify: 1000.00 GB of 4000.00 GB, ")
    assert "GB/s, " in line
    assert line.endswith(" s left")
    assert "\r" not in log.getvalue()


def test_a_terminal_gets_one_line_that_is_gone_at_the_end() -> None:
    terminal = Terminal()
    with Progress("stage", 10, terminal, interval_s=0.01):
        wait_until(terminal.getvalue, "a line")
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")


def test_work_of_an_unknown_size_has_a_rate_and_no_time_left() -> None:
    log = io.StringIO()
    with Progress("archive", 0, log, interval_s=0.01) as progress:
        progress.advance(2_000_000_000)
        wait_until(log.getvalue, "a line")
    line = log.getvalue().splitlines()[0]
    assert line.startswith("archive: 2.00 GB, ")
    assert line.endswith("B/s")


def test_what_is_said_beside_the_moving_line_stays() -> None:
    terminal = Terminal()
    with Progress("stage", 10, terminal, interval_s=60) as progress:
        progress.say("image 1 of 2")
    assert "\r\033[Kimage 1 of 2\n" in terminal.getvalue()


@pytest.mark.parametrize(("bytes_per_s", "text"), [(8_240_000, "8.2 MB/s"), (2_500_000_000, "2.50 GB/s")])
def test_rates_of_networks_and_disks_have_digits_before_the_point(bytes_per_s: float, text: str) -> None:
    assert rate(bytes_per_s) == text


def test_short_work_says_nothing_in_a_log() -> None:
    log = io.StringIO()
    with Progress("verify", 10, log):
        pass
    assert log.getvalue() == ""


def test_the_first_failure_ends_the_rest_of_the_work() -> None:
    progress = Progress("", 0)
    woken: list[bool] = []
    to_the_end: list[int] = []
    progress.when_cancelled(lambda: woken.append(True))

    def work(item: int) -> None:
        if item == 0:
            raise ValueError("first")
        for _ in range(5000):
            progress.advance(1)
            time.sleep(0.001)
        to_the_end.append(item)

    with pytest.raises(ValueError, match="first"):
        in_parallel(work, range(100), 4, progress)
    assert (woken, to_the_end) == ([True], [])
    with pytest.raises(Cancelled):
        progress.sleep(0)


def test_an_interrupt_while_work_is_given_out_ends_what_has_begun() -> None:
    progress, begun, cancelled = Progress("", 0), threading.Event(), threading.Event()

    def work(_: int) -> None:
        begun.set()
        try:
            progress.sleep(20)
        except Cancelled:
            cancelled.set()
            raise

    def items() -> Iterator[int]:
        yield 0
        begun.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, items(), 4, progress)
    assert cancelled.is_set()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (-1, "0 s")])
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert duration(seconds) == text
