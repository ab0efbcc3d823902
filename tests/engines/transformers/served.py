"""A server of the runtime package as a process of the serving environment, and a client that sees every detail."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.commands.serving import ENVIRONMENT
from lab.paths import REPO
from tests.fakes import no_compilers
from tests.unit import runtime_process

PYTHON = ENVIRONMENT / "bin/python"
PATIENCE_S = 600
"""How long a test waits for what must happen; no test asserts that it takes long or short."""
Json = dict[str, Any]


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    return runtime_process.wait_until(condition, what, PATIENCE_S)  # as it is now: a slower test sets another


class Process:
    """A server with this tree's package, in the serving environment's Python unless another program is named.

    It finds no compiler, as in the runtime image: what needs one must be off there, or fail here too.
    """

    def __init__(self, log: Path, command: Sequence[object], program: Path = PYTHON, **environment: str) -> None:
        self._log = log
        own = {"PYTHONPATH": str(REPO / "python/src"), "OMP_NUM_THREADS": "1", "PATH": no_compilers.path()}
        with log.open("wb") as out:
            words = [str(word) for word in (program, *command)]
            # In a session of its own: Linux shares the processors out by session before it does so by process.
            self.process = subprocess.Popen(
                words,
                env={**os.environ, **own, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self, health: Client) -> None:
        wait_until(lambda: self.process.poll() is not None or health.answers("/health/ready"), "ready")
        assert self.process.poll() is None, self.log()

    def family(self) -> list[int]:
        """It and all below it, in the order of their starts: the supervisor, the engine, what that has started."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        parents = dict(map(int, line.split()) for line in listed.splitlines())
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def titled(self, title: str) -> int:
        """The one of its family whose title begins so."""
        [found] = [pid for pid in self.family() if Path(f"/proc/{pid}/cmdline").read_text().startswith(title)]
        return found

    def end(self) -> int:
        """SIGTERM, and a second one that waits for nothing."""
        for _ in range(2):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
        return self.process.wait(PATIENCE_S)


class Client:
    def __init__(self, port: int, api_key: str = "") -> None:
        self.port = port
        self.headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        }

    def ask(self, path: str, body: object = None, *, raw: bytes | None = None) -> tuple[int, Any]:
        """Status and JSON; a body makes it a POST."""
        status, _, text = self.exchange(path, body, raw=raw)
        return status, json.loads(text)

    def exchange(self, path: str, body: object = None, *, raw: bytes | None = None) -> tuple[int, Any, bytes]:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST" if data is not None else "GET", path, data, self.headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def stream(self, path: str, body: Json) -> Iterator[Json | str]:
        """Events as they come: JSON, and "[DONE]". Closing the iterator closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps({**body, "stream": True}), self.headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            with contextlib.closing(response):
                for line in response:
                    if line.startswith(b"data: "):
                        data = line.removeprefix(b"data: ").strip().decode()
                        yield data if data == "[DONE]" else json.loads(data)

    def answers(self, path: str) -> bool:
        try:
            return self.exchange(path)[0] == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = self.exchange("/metrics")[2].decode().splitlines()
        samples = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.split()[-1]) for line in samples if all(label in line for label in wanted))
