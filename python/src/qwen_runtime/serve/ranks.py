"""Runs several ranks on this host. All of them end well, or the first that does not ends the others at once."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence

from qwen_runtime.errors import EngineError
from qwen_runtime.serve import processes


def run(
    command: Sequence[str],
    count: int,
    environment: Mapping[str, str],
    explain: Callable[[int], Exception | None],
) -> None:
    """Starts `count` processes of the command and waits for their end; torchrun's variables (RANK, ...) differ.

    Where one fails the others are killed before anything is raised: what `explain` knows of that rank, or EngineError.
    """
    processes.adopt_orphans()
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(_start(command, variables) for variables in environments(environment, count))
        _wait(started, explain)
    finally:
        processes.end_all(os.getpid())
        for process in started:
            process.wait()


def environments(base: Mapping[str, str], count: int) -> list[dict[str, str]]:
    """Environment of each of `count` ranks on this host; torchrun's RANK and LOCAL_RANK differ."""
    shared = {
        # The CPUs are divided, since ranks compute at the same time; `base` wins.
        "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // count)),
        # Ranks that each decide for themselves must decide alike, and sets of strings are walked in the hash's order.
        "PYTHONHASHSEED": str(secrets.randbelow(2**32)),
        **base,
        **_meeting_point(),
        "WORLD_SIZE": str(count),
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def _meeting_point() -> dict[str, str]:
    """Variables by which the ranks find one another: a port that was free just now, on this host alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=2,  # what ranks print is no answer of the command
        start_new_session=True,
        preexec_fn=processes.end_with_parent,
    )


def _wait(ranks: list[subprocess.Popen[bytes]], explain: Callable[[int], Exception | None]) -> None:
    left = {process.pid: rank for rank, process in enumerate(ranks)}
    while left:
        pid, status = os.waitpid(-1, 0)  # adopted orphans too
        rank = left.pop(pid, None)
        if rank is None:
            continue
        ranks[rank].returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise explain(rank) or EngineError(
                f"rank {rank} of {len(ranks)} {processes.describe_exit(status)}; the others were ended",
                "ranks that all run to their end",
                "Read the last lines above, and dmesg if it was killed for memory.",
            )
