"""Programs of this machine that fetch and copy; each one resumes and verifies by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from qwen_runtime.errors import Error
from qwen_runtime.weights.progress import Progress

from . import clock

LAST_LINES = 5
CURL = re.compile(r"^curl: \(\d+\) .+$", re.MULTILINE)
"""The line of curl that says what is wrong; advice follows it."""
PACKAGES = {"apt-ftparchive": "apt-utils", "apt-get": "apt", "apt-cache": "apt"}
"""Packages whose names differ from those of their programs."""


class ToolError(Error):
    """A program could not do what it was asked for: the person who fills or imports must act."""

    exit_code = 1


def call(
    argv: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run silently, whatever the exit code. Raises ToolError where the machine does not have the program."""
    with _known(argv[0]):
        return subprocess.run(argv, env=environment, cwd=folder, check=False, capture_output=True, text=True)


def show(
    argv: Sequence[str],
    environment: Mapping[str, str] | None,
    progress: Progress | None = None,
    takes: Callable[[str], bool] = lambda line: False,
) -> subprocess.CompletedProcess[str]:
    """Run with its messages shown as they come, whatever the exit code. Raises ToolError where there is no program.

    `progress`: what is shown beside them. `takes`: whether a line only says how far the program is, and is not shown.
    """
    lines: list[str] = []
    shown = progress or Progress("", 0, sys.stderr)
    with (
        _known(argv[0]),
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if takes(line):
                continue
            lines.append(line.rstrip())
            shown.say(f"    {lines[-1]}")
    return subprocess.CompletedProcess(argv, process.returncode, "\n".join(lines), "")


@contextmanager
def _known(program: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as absent:
        package = PACKAGES.get(program, program)
        raise ToolError(
            f"no program {program}", f"{program} on this machine", f"Install the package {package}, and run it again."
        ) from absent


def run(
    argv: Sequence[str],
    about: str,
    *,
    environment: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    takes: Callable[[str], bool] = lambda line: False,
) -> str:
    """Run with its messages shown as they come; returns its output. Raises ToolError, which names what it was about."""
    ended = show(argv, environment, progress, takes)
    _refuse_failure(ended, ended.stdout, about)
    return ended.stdout


def ask(argv: Sequence[str], about: str) -> str:
    """Run silently; returns what it answers. Raises ToolError, which names what it was about."""
    ended = call(argv)
    _refuse_failure(ended, ended.stderr, about)
    return ended.stdout


def _refuse_failure(ended: subprocess.CompletedProcess[str], said: str, about: str) -> None:
    if ended.returncode:
        words = (
            " / ".join(CURL.findall(said)[-1:] or said.splitlines()[-LAST_LINES:]) or f"exit code {ended.returncode}"
        )
        remedy = clock.remedy(words, "Mend what it names and run it again: it goes on.")
        raise ToolError(f"{about}: {words}", f"success of {ended.args[0]}", remedy)
