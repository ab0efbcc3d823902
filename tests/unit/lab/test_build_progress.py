"""Messages of the builds of the tools."""

from __future__ import annotations

import pytest

from lab.tools.build_progress import BuildProgress
from lab.tools.go_modules import Module

LARGE, SMALL = Module("large", (), cost_s=900), Module("small", (), cost_s=100)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return Clock()


def test_it_says_what_is_built_what_is_being_built_and_what_is_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = BuildProgress([LARGE, SMALL], clock)
    with progress.building(LARGE):
        with progress.building(SMALL):
            assert progress.line() == "0 of 2, building large, small, about 8 min left"
            clock.now = 100
        assert capsys.readouterr().out == "      built small (100 s), 1 of 2, building large, about 7 min left\n"
        clock.now = 900
    assert "built large (900 s), 2 of 2\n" in capsys.readouterr().out


def test_a_slower_machine_is_told_so(clock: Clock) -> None:
    progress = BuildProgress([LARGE, SMALL], clock)
    with progress.building(SMALL):
        clock.now = 200
    assert progress.line().endswith("about 30 min left")


def test_a_build_that_fails_is_not_counted_as_built(clock: Clock) -> None:
    progress = BuildProgress([SMALL], clock)
    with pytest.raises(ZeroDivisionError), progress.building(SMALL):
        raise ZeroDivisionError
    assert progress.line().startswith("0 of 1")


def test_nothing_to_build_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress([]).shown():
        pass
    assert capsys.readouterr().out == ""
