"""The log: one JSON object per line on stdout, the supervisor's own events and the engine's lines alike."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import IO

from qwen_runtime.engine import request_log

MAX_LINE_BYTES = 64 * 1024
_lock = threading.Lock()


def event(name: str, message: str, **fields: object) -> None:
    """Logs something that the supervisor did or found. Names are stable, for machines."""
    _write({"source": "supervisor", "event": name, "message": message, **fields})


def pass_through(stream: IO[bytes], read: Callable[[str], None]) -> None:
    """Copies the engine's lines, and shows each to `read`, until nobody holds the other end any more."""
    with stream:
        while line := stream.readline(MAX_LINE_BYTES):
            text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
            if text:
                read(text)
                _write({**_read(text), "source": "engine"})


def _read(text: str) -> dict[str, object]:
    """Fields of an engine's line about a request; of any other line the text."""
    if text.startswith(request_log.BEGIN):
        with suppress(ValueError):
            fields: dict[str, object] = json.loads(text)
            return {**fields, "message": f"{fields.get('method')} {fields.get('path')} {fields.get('status')}"}
    return {"message": text}


def _write(entry: dict[str, object]) -> None:
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": time, **entry}, ensure_ascii=False)
    with _lock:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            pass  # the reader of the log is gone; serving goes on
