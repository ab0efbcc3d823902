"""Programs of this machine that fetch and copy; each one resumes and verifies by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from qwen_runtime.errors import Error

LAST_LINES = 5


class ToolError(Error):
    """A program could not do what it was asked for: the person who fills or imports must act."""

    exit_code = 1


def run(argv: Sequence[str], about: str, *, environment: Mapping[str, str] | None = None) -> str:
    """Run with its messages shown as they come; returns its output. Raises ToolError, which names what it was about."""
    lines: list[str] = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            print(f"    {lines[-1]}", file=sys.stderr, flush=True)
    if process.returncode:
        words = " / ".join(lines[-LAST_LINES:]) or f"exit code {process.returncode}"
        raise ToolError(
            f"{about}: {words}", f"success of {argv[0]}", "Mend what it names and run it again: it goes on."
        )
    return "\n".join(lines)
