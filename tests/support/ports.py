"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket

BELOW_THE_KERNELS_OWN = range(20_000, 30_000)
"""Ports that Linux gives to nobody by itself: `ip_local_port_range` begins at 32,768."""


def free_port(neighbours: int = 0) -> int:
    """A port of 127.0.0.1 that nothing listens on, with as many free ports after it.

    A port that the kernel chooses may become the end of another program's connection before the test's server takes it.
    """
    while True:
        port = random.choice(BELOW_THE_KERNELS_OWN)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for offset in range(neighbours + 1):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            return port
