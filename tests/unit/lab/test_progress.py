"""A long step prints what it does, how far it is and about how long the rest takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab import progress, shell
from lab.progress import APT_DOWNLOAD, APT_INSTALL, LAST_LINE, Parts, State

APT = """Reading package lists...
0 upgraded, 3 newly installed, 0 to remove and 7 not upgraded.
Get:1 http://mirror/apt bookworm/main amd64 skopeo amd64 1.9.3 [6564 kB]
Get:2 http://mirror/apt bookworm/main amd64 zstd amd64 1.5.4 [671 kB]
Setting up skopeo (1.9.3) ...
"""


@pytest.mark.parametrize(
    ("parts", "output", "state"),
    [
        (APT_DOWNLOAD, APT, State("zstd", 1, 3, 1 / 3)),
        (APT_INSTALL, APT, State("skopeo", 0, 3)),
        (
            Parts(r"^TASK \[(.+)\]", 300),
            "PLAY [all]\nTASK [base : Preflight]\nTASK [base : Time]\n",
            State("base : Time", 1, 300, 1 / 300),
        ),
        (Parts(r"^image (\S+)", r"of (\d+)"), "", State("", 0, 0)),
        (Parts(r"^image (\S+)", 5, {"large": 6}), "image small\nimage large\nimage last\n", State("last", 2, 5, 0.7)),
        (LAST_LINE, "I: chroot\nI: downloading packages\n\n", State("I: downloading packages")),
    ],
)
def test_parts_are_read_from_what_a_program_writes(parts: Parts, output: str, state: State) -> None:
    assert parts.read(output) == state


@pytest.mark.parametrize(
    ("state", "elapsed_s", "line"),
    [
        (State("runtime", 3, 16, 0.2), 90, "4 of 16: runtime, 1:30 so far, about 6 min left"),
        (State("runtime", 15, 16, 0.9), 90, "16 of 16: runtime, 1:30 so far, about 10 s left"),
        (State("gateway", 0, 16), 20, "1 of 16: gateway, 0:20 so far"),
        (State("a task more than was expected", 300, 300, 1), 61, "301: a task more than was expected, 1:01 so far"),
        (State("downloading packages"), 45, "downloading packages, 0:45 so far"),
    ],
)
def test_a_line_says_what_how_many_and_how_long(state: State, elapsed_s: float, line: str) -> None:
    assert progress.line(state, elapsed_s) == line


def test_a_program_that_takes_long_is_followed_from_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shell, "LOGS", tmp_path)
    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    (tmp_path / "builds.log").write_text("part of an earlier run\n")
    program = "import time; print('part one of 2', flush=True); time.sleep(0.6); print('part two of 2')"
    parts = Parts(r"^part (\w+)", r"of (\d)")
    shell.logged("builds", sys.executable, "-c", program, progress=parts)
    assert "      1 of 2: one, 0:00 so far\n" in capsys.readouterr().out


def test_a_short_step_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(lambda: State("short")):
        pass
    assert capsys.readouterr().out == ""
