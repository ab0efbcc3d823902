"""An engine's log, which explains the engine's end."""

from __future__ import annotations

import re
import threading
import time
from typing import IO

from qwen_runtime.serve import journal

# An exception as Python writes it: its class, perhaps with its module, and its text; a logger may write first.
EXCEPTION = re.compile(r"(?:^|\s|\])(?:[a-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Failure|Exhausted)): (.+)$")
LEVEL = re.compile(r"(?:^|\s|\[)(?:ERROR|CRITICAL|FATAL)\b\W*(?:\d\d-\d\d [\d:]+ )?(?:\[[^]]*\] )?(\w.*)$")
# Lines that only follow from a failure, whose cause was written before.
ECHO = re.compile(r"EngineDeadError|stack trace \(above\)|root cause", re.IGNORECASE)
MAX_CHARACTERS = 300


class EngineLog:
    """Copies an engine's log line by line, and keeps the last error in it that does not only point to an earlier one.

    An exception says more than a line that a logger marked as an error, so such a line counts only where there is none.
    """

    def __init__(self) -> None:
        self._exception: tuple[str, float] | None = None
        self._line: tuple[str, float] | None = None
        self._thread: threading.Thread | None = None

    def follow(self, stream: IO[bytes]) -> None:
        self._thread = threading.Thread(target=journal.pass_through, args=(stream, self.read), name="log", daemon=True)
        self._thread.start()

    def wait_end(self, patience_s: float = 2.0) -> None:
        """Waits for the end of the log, which comes when no process holds it any more."""
        if self._thread:
            self._thread.join(patience_s)

    def read(self, line: str) -> None:
        if ECHO.search(line):
            return
        now = time.monotonic()
        if exception := EXCEPTION.search(line):
            self._exception = f"{exception[1]}: {exception[2]}"[:MAX_CHARACTERS], now
        elif marked := LEVEL.search(line):
            self._line = marked[1][:MAX_CHARACTERS], now

    def describe_error(self) -> str | None:
        """The last error and its age; None where the log has none."""
        kept = self._exception or self._line
        return kept and f"the last error in its log, {time.monotonic() - kept[1]:.0f} s before: {kept[0]}"
