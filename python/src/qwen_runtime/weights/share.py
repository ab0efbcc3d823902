"""Offers the verified models below a directory to neighbours, over HTTP and read-only.

Only files that a manifest lists are offered, at /MODEL/PATH, and only once the model agrees with its manifest (fast
verification). Files go from the kernel's cache to the network without passing through this process. `fan_out` hosts are
fed at a time. Another host is told to come back, so that no more hosts than planned share a host's link and disk.
"""

from __future__ import annotations

import http.server
import io
import re
import socket
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.weights.files import MANIFEST_NAME, shape_fault
from qwen_runtime.weights.verification import verify

IDLE_S = 60
RETRY_AFTER_S = 2


class Refused(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as its manifest was when it was verified. `stamp` changes when another manifest replaces it."""

    stamp: tuple[int, int]
    sizes: dict[str, int]


class Shelf:
    """The offered models, which appear, change and go while the server runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offers: dict[str, Offer] = {}
        self._lock = threading.Lock()

    def open(self, path: str) -> io.FileIO:
        """The file at /MODEL/PATH. Raises Refused when it is not offered, or not yet."""
        model, _, name = path.removeprefix("/").partition("/")
        if not model or model.startswith("."):
            raise Refused(HTTPStatus.NOT_FOUND, "no model of that name")
        directory = self._directory / model
        offer = self._offer(model, directory)
        if name != MANIFEST_NAME and name not in offer.sizes:
            raise Refused(HTTPStatus.NOT_FOUND, "not in the manifest")
        if shape_fault(directory, name, offer.sizes.get(name)):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not as the manifest says")
        return io.FileIO(directory / name)

    def _offer(self, model: str, directory: Path) -> Offer:
        with self._lock:
            try:
                status = (directory / MANIFEST_NAME).stat()
                stamp = (status.st_ino, status.st_mtime_ns)
                offer = self._offers.get(model)
                if offer is None or offer.stamp != stamp:
                    manifest = verify(directory, full=False)
                    offer = Offer(stamp, {entry.path: entry.size for entry in manifest.files})
                    self._offers[model] = offer
                return offer
            except (OSError, WeightsError) as error:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no verified model of that name yet") from error


class Slots:
    """Slots for hosts that are fed. A host keeps its slot while one of its connections is open."""

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts
        self._connections: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, host: str) -> bool:
        with self._lock:
            if host not in self._connections and len(self._connections) >= self._hosts:
                return False
            self._connections[host] += 1
            return True

    def release(self, host: str) -> None:
        with self._lock:
            self._connections[host] -= 1
            if not self._connections[host]:
                del self._connections[host]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int, shelf: Shelf, slots: Slots) -> None:
        self.shelf, self.slots = shelf, slots
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)
            return
        print(f"{client_address}: {error}", file=sys.stderr)  # the other end went away


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: Server
    admitted = False

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        try:
            file = self.server.shelf.open(path)
            with file:
                if not path.endswith(f"/{MANIFEST_NAME}"):
                    self._admit()
                self._send(file)
        except Refused as refused:
            self._refuse(refused)

    do_HEAD = do_GET

    def finish(self) -> None:
        super().finish()
        if self.admitted:
            self.server.slots.release(self.client_address[0])

    def _admit(self) -> None:
        self.admitted = self.admitted or self.server.slots.take(self.client_address[0])
        if not self.admitted:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "feeding as many hosts as it may")

    def _send(self, file: io.FileIO) -> None:
        size_bytes = file.seek(0, io.SEEK_END)
        wanted = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})?", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2] or size_bytes - 1)) if wanted else (0, size_bytes - 1)
        last = min(last, size_bytes - 1)
        if wanted and first > last:
            raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"{size_bytes} bytes in all")
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size_bytes}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command == "GET" and last >= first:
            sent = self.connection.sendfile(file, first, last + 1 - first)
            self.close_connection |= sent < last + 1 - first

    def _refuse(self, refused: Refused) -> None:
        reason = f"{refused}\n".encode()
        self.send_response(refused.status)
        if refused.status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", str(RETRY_AFTER_S))
        self.send_header("Content-Length", str(len(reason)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(reason)


def bind(directory: Path, address: str, port: int, fan_out: int) -> Server:
    """A server that is bound and not yet serving. Raises HostError when the address cannot be used."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", "the directory above the models", "Correct the path.")
    try:
        return Server(address, port, Shelf(directory), Slots(fan_out))
    except OSError as error:
        raise HostError(
            f"{address} port {port} cannot be used ({error.strerror})",
            "an address of this host and a free port",
            "End the process that holds it, or choose another one.",
        ) from error
