"""Running of other programs: output goes to a log; a failure shows its end and where the rest is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.paths import LOGS
from lab.progress import Parts, followed

TAIL_LINES = 25


def output(*argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run and return stdout, stripped; raises LabError with stderr when the program fails."""
    done = attempt(*argv, env=env, cwd=cwd)
    if done.returncode:
        raise _failure(argv, done.returncode, (done.stderr or done.stdout).splitlines()[-TAIL_LINES:], "run it by hand")
    return done.stdout.strip()


def attempt(
    *argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run and return the result, also of a program that fails: for questions whose answer may be no."""
    return subprocess.run(
        [str(a) for a in argv], env=_environment(env), cwd=cwd, text=True, capture_output=True, check=False
    )


def logged(
    log: str,
    *argv: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    progress: Parts | None = None,
    remedy: str = "fix what it names and run `make up` again: it goes on from here",
) -> str:
    """Run with all output appended to .lab/logs/<log>.log; returns this run's output.

    progress: how to read from the output how far the run is; it is then shown while the program runs
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with path.open("ab") as stream:
        start = stream.tell()
        with followed(path, start, progress) if progress else contextlib.nullcontext():
            code = subprocess.run(
                [str(a) for a in argv],
                env=_environment(env),
                cwd=cwd,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            ).returncode
    with path.open("rb") as stream:
        stream.seek(start)
        text = stream.read().decode(errors="replace")
    if code:
        raise _failure(argv, code, text.splitlines()[-TAIL_LINES:], f"{remedy} (whole log: {path})")
    return text


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def _failure(argv: Sequence[str | Path], code: int, tail: Sequence[str], remedy: str) -> LabError:
    command = " ".join(str(a) for a in argv)
    return LabError(f"`{command[:200]}` ended with {code}:\n  " + "\n  ".join(tail), "it ends with 0", remedy)
