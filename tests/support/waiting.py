"""Waiting for what must happen. No test asserts that it takes long or short: patience only bounds a failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120
"""Patience with a process; a shared machine may stand still for half a minute, disks longest."""
ENGINE_PATIENCE_S = 1200
"""Patience with an engine: several that import vLLM at once take minutes on few cores."""


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true result of the condition."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {patience_s:g} s")


def wait_for_engine(condition: Callable[[], Any], what: str) -> Any:
    return wait_until(condition, what, ENGINE_PATIENCE_S)
