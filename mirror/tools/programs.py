"""Programs of this machine that fetch and copy; each one resumes and verifies by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from qwen_runtime.errors import Error

LAST_LINES = 5
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


def show(argv: Sequence[str], environment: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
    """Run with its messages shown as they come, whatever the exit code. Raises ToolError where there is no program."""
    lines: list[str] = []
    with (
        _known(argv[0]),
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            print(f"    {lines[-1]}", file=sys.stderr, flush=True)
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


def run(argv: Sequence[str], about: str, *, environment: Mapping[str, str] | None = None) -> str:
    """Run with its messages shown as they come; returns its output. Raises ToolError, which names what it was about."""
    ended = show(argv, environment)
    lines = ended.stdout.splitlines()
    if ended.returncode:
        words = " / ".join(lines[-LAST_LINES:]) or f"exit code {ended.returncode}"
        raise ToolError(
            f"{about}: {words}", f"success of {argv[0]}", "Mend what it names and run it again: it goes on."
        )
    return "\n".join(lines)
