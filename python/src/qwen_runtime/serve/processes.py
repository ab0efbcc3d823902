"""Processes of Linux: adopt orphans, find descendants, end all of them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Makes processes whose parent dies children of this one instead of init, so that none escapes descendants()."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Call it in a new child: SIGTERM then reaches the child if the supervisor is killed."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def descendants(root: int) -> list[int]:
    """Every process below root that still runs, children before their own children; zombies are left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _state_and_parent(int(entry.name))
            if state not in "ZX":
                children.setdefault(parent, []).append(int(entry.name))
    below: list[int] = []
    level = [root]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        below += level
    return below


def stopped(root: int) -> list[int]:
    """Descendants that a signal has stopped, as SIGSTOP does; a debugger's stop is another state."""
    return [pid for pid in descendants(root) if _state_and_parent(pid)[0] == "T"]


def _state_and_parent(pid: int) -> tuple[str, int]:
    """("X", 0), dead, for a process that ended meanwhile."""
    try:
        # pid (name, which may hold spaces and brackets) state ppid ...
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return state, int(parent)


def end_all(root: int, timeout_s: float = 10.0) -> list[int]:
    """SIGKILL to every descendant until none is left; returns what survived (uninterruptible in the kernel)."""
    deadline = time.monotonic() + timeout_s
    while (left := descendants(root)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return left


def shared_memory_is_full() -> bool:
    """Whether /dev/shm has no page left: writing to memory that is mapped from it kills with SIGBUS."""
    try:
        left = os.statvfs("/dev/shm")
    except OSError:
        return False
    return left.f_blocks > 0 and left.f_bavail == 0


def describe_exit(status: int) -> str:
    """Words for a status of waitpid."""
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"
