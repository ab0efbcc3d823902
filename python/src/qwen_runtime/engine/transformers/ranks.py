"""One model over several processes of one host: rank 0 answers and starts the others, and one's death is that of all.

Every rank computes each step on its part of the weights and chooses the same tokens, because a token depends on logits
and seed alone; the engine tells the others which requests there are.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from qwen_runtime.errors import EngineError

PULSE_S = 0.2
"""How often the other ranks are looked at; their death ends this process, whatever it is waiting for."""


def started_by_another() -> bool:
    """Whether this process is a rank other than 0; torch.distributed reads the same variable."""
    return "RANK" in os.environ


class Others:
    """All ranks but this process, which is made rank 0, as its children with the same arguments."""

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-m", "qwen_runtime.engine.transformers", *arguments]
        self._processes = {
            rank: subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(1, count)
        }
        os.environ.update(shared, RANK="0", LOCAL_RANK="0")
        self._released = threading.Event()
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()

    def release(self) -> None:
        """From now on they may end."""
        self._released.set()

    def _watch(self) -> None:
        while not (dead := [rank for rank, process in self._processes.items() if process.poll() is not None]):
            if self._released.wait(PULSE_S):
                return
        process = self._processes[dead[0]]
        error = EngineError(
            f"rank {dead[0]} (process {process.pid}) ended with status {process.returncode}",
            f"all {len(self._processes) + 1} ranks of the model",
            "Its last lines above say why; whoever supervises this process starts the group again.",
        )
        print(f"qwen-runtime: {error}", file=sys.stderr, flush=True)
        # Not sys.exit: the main thread may wait for ever for an answer of the dead rank.
        os._exit(EngineError.exit_code)
