"""The door of an engine's server: requests that compute need a key that only the gateways send.

The file of keys has the SHA-256 of each, one a line. It is looked at again once a second, so that keys change without a
start of the engine. Both engines run this as ASGI middleware; vLLM's own check leaves paths open that compute, such as
/tokenize and /invocations.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path

from qwen_runtime.engine.asgi import App, Message, Receive, Send
from qwen_runtime.errors import UsageError

VARIABLE = "QWEN_RUNTIME_KEYS"
"""Variable of the engine's environment that names the file of keys."""
OWN = "QWEN_RUNTIME_OWN_KEY"
"""Variable with the SHA-256 of one more key, by which the supervisor warms its engine."""
MIDDLEWARE = f"{__name__}.Door"
OPEN = frozenset({"/health", "/metrics", "/v1/models", "/openapi.json"})
"""Paths of the supervisor and of Prometheus. They tell, and compute nothing."""
LOOK_S = 1.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REFUSAL = json.dumps(
    {
        "error": {
            "message": "This engine answers the site's gateway alone. Send the request there, with a key of the site.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
).encode()


def read(file: Path) -> frozenset[str]:
    """The digests of a file. UsageError where it has none, or something else."""
    needed = "the SHA-256 of each key that is accepted, one a line"
    remedy = "Write the file, or leave --keys out: then whoever reaches the port is answered."
    try:
        lines = file.read_text().split()
    except OSError as error:
        raise UsageError(f"--keys {file} cannot be read ({error.strerror})", needed, remedy) from error
    if not lines or not all(_DIGEST.fullmatch(line) for line in lines):
        raise UsageError(f"--keys {file} has {len(lines)} words that are not all digests", needed, remedy)
    return frozenset(lines)


class Door:
    """ASGI middleware that answers 401 to a request without a key."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._file, self._own = Path(os.environ[VARIABLE]), os.environ.get(OWN)
        self._keys, self._looked_at = read(self._file), time.monotonic()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._knows(dict(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        self._look()
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        digest = hashlib.sha256(key.strip()).hexdigest()
        return scheme.lower() == b"bearer" and (digest in self._keys or digest == self._own)

    def _look(self) -> None:
        """Take what the file says now. A file that is being replaced leaves the keys as they are."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return
        self._looked_at = time.monotonic()
        try:
            self._keys = read(self._file)
        except UsageError as error:
            print(f"the keys stay as they were: {error.found}", flush=True)
