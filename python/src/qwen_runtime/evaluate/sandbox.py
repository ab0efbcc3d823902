"""A sandbox for code that a model wrote: bubblewrap, without network, files, privileges or room.

The program inside has namespaces of its own (users, processes, network, mounts, IPC, host name), a read-only view of
the system's programs and libraries and nothing else, 16 MiB of memory to write files to, no capabilities, and limits on
memory, processor time, processes and file sizes. It answers calls with literals and takes no part in the judgement:
what it prints, or how it exits, changes no result. Everything in it ends with it, at the latest when its time is over.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.resources
import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwen_runtime.errors import HostError

INSIDE = importlib.resources.files(__package__).joinpath("inside.py")
PYTHON = "/usr/bin/python3"
NOBODY = 65534
WRITABLE_BYTES = 16 << 20
ANSWER_BYTES = 1 << 20
"""The longest answer of one call."""
LIMITS = {
    "RLIMIT_AS": 512 << 20,
    "RLIMIT_CPU": 10,
    "RLIMIT_NPROC": 4,
    "RLIMIT_FSIZE": WRITABLE_BYTES,
    "RLIMIT_NOFILE": 32,
    "RLIMIT_CORE": 0,
}
MOUNTS = (
    *("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--dev", "/dev", "--remount-ro", "/dev", "--proc", "/proc"),
    *("--size", str(WRITABLE_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"),
)
ISOLATION = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv")


class CandidateError(Exception):
    """The candidate gave no literal: it raised, ended, took too long or returned something else."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    python: str = PYTHON
    seconds: float = 60.0
    """Time for everything that one candidate is asked. It bounds what sleeps. What computes is bounded by its own
    processor time, because a machine that is busy with the model would count against the model."""

    def check(self) -> None:
        """Raise HostError where this machine has no bubblewrap, or does not let it isolate."""
        if not shutil.which("bwrap"):
            raise HostError("no bwrap", "bubblewrap, to run a model's code in", "Install it: apt install bubblewrap.")
        with self.candidate("def f(): return 1", "f") as candidate:
            try:
                candidate.call()
            except CandidateError as error:
                raise HostError(
                    f"a sandbox that does not start ({error}; {candidate.complaint()})",
                    f"user namespaces for bwrap, and {self.python}",
                    "Allow unprivileged user namespaces on the machine that evaluates, or use another machine.",
                ) from error

    @contextlib.contextmanager
    def candidate(self, program: str, entry_point: str) -> Iterator[Candidate]:
        """The function of a program, for as long as the block runs."""
        nobody = NOBODY if os.geteuid() == 0 else None  # the limit of processes does not hold for root
        process = subprocess.Popen(
            ["bwrap", *ISOLATION, *MOUNTS, self.python, "-I", "-c", INSIDE.read_text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=nobody,
            group=nobody,
            extra_groups=None if nobody is None else [],
        )
        try:
            yield Candidate(process, program, entry_point, time.monotonic() + self.seconds)
        finally:
            process.kill()  # --die-with-parent: the kernel ends the first process inside, and so all of them
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                with contextlib.suppress(OSError):
                    pipe.close()
            process.wait()


class Candidate:
    """One program in its sandbox; calling it asks the function."""

    def __init__(self, process: subprocess.Popen[bytes], program: str, entry_point: str, deadline: float) -> None:
        self._process, self._deadline = process, deadline
        self._unread = b""
        with contextlib.suppress(CandidateError):  # bubblewrap has ended already: the first call says so
            self._send(json.dumps({"program": program, "entry_point": entry_point, "limits": LIMITS}))

    def call(self, *arguments: Any, **named: Any) -> Any:
        """The result, which is a literal. CandidateError where there is none."""
        self._send(repr((arguments, named)))
        try:
            answer = json.loads(self._line())
            if "raised" in answer:
                raise CandidateError(f"raised {str(answer['raised'])[:60]}")
            return ast.literal_eval(str(answer["value"]))
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
            raise CandidateError("returned no literal") from error

    def complaint(self) -> str:
        """The words of bubblewrap, where it ended by itself."""
        assert self._process.stderr
        self._process.kill()
        return self._process.stderr.read(500).decode(errors="replace").strip()

    def _used_up(self) -> bool:
        """Whether the program was ended at its limit of processor time; bubblewrap passes the signal on as a status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(1) == 128 + signal.SIGXCPU
        return False

    def _send(self, text: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise CandidateError("ended") from error

    def _line(self) -> bytes:
        assert self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, self._deadline - time.monotonic())):
                    raise CandidateError("took too long")
                piece = os.read(self._process.stdout.fileno(), 1 << 16)
                if not piece:
                    raise CandidateError("took too long" if self._used_up() else "ended")
                self._unread += piece
                if len(self._unread) > ANSWER_BYTES:
                    raise CandidateError("returned too much")
        line, self._unread = self._unread.split(b"\n", 1)
        return line
