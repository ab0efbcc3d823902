"""A source over HTTP: a model's directory of a mirror, or one that a neighbour shares.

Redirects are not followed, and no proxy, cookie or password is used: a mirror is named by the URL that has the files.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlsplit

from qwen_runtime.errors import UsageError
from qwen_runtime.weights.files import MANIFEST_NAME
from qwen_runtime.weights.manifest import MAX_BYTES, FileEntry
from qwen_runtime.weights.sources import Body, NotYet, SourceFault, Unreachable

BUSY = (http.client.TOO_MANY_REQUESTS, http.client.SERVICE_UNAVAILABLE)


class HttpSource:
    """Keeps its connections open, one for each thread that asks. `timeout_s`: longest silence of the server."""

    def __init__(self, url: str, timeout_s: float) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError as error:
            raise UsageError(f"source {url!r} ({error})", "a URL", "Correct --from or --neighbour.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"source {url!r}", "a directory, http:// or https://", "Correct --from or --neighbour.")
        if parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url:
            raise UsageError(
                f"source {url!r}", "a URL without user, query, fragment and blanks", "Correct --from or --neighbour."
            )
        self.label, self._timeout_s = url.rstrip("/"), timeout_s
        self._host, self._tls, self._path = parts.hostname, parts.scheme == "https", parts.path.rstrip("/")
        self._open: set[http.client.HTTPConnection] = set()
        self._idle: list[http.client.HTTPConnection] = []
        self._closed = False

    def manifest(self) -> bytes:
        connection, response = self._get(MANIFEST_NAME, {})
        try:
            _check_status(response, http.client.OK)
            with reachable(self._timeout_s):
                return response.read(MAX_BYTES + 1)
        finally:
            self.discard(connection)

    def open(self, entry: FileEntry, offset: int) -> Body:
        connection, response = self._get(entry.path, {"Range": f"bytes={offset}-"} if offset else {})
        try:
            begins_at = _offset_of_answer(response, entry.size, offset)
        except SourceFault:
            self.discard(connection)
            raise
        return _HttpBody(self, connection, response, begins_at, entry.size - begins_at, self._timeout_s)

    def close(self) -> None:
        """Ends every connection, also those that other threads wait for or are about to use."""
        self._closed = True
        while self._idle:
            self.discard(self._idle.pop())
        for connection in list(self._open):
            if connection.sock:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Takes back a connection whose answer was read to its end."""
        self._idle.append(connection)

    def discard(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._open.discard(connection)

    def _get(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._ask(self._connection(), path, headers)
        try:
            return self._ask(connection, path, headers)
        except Unreachable:  # the server closed it while nobody used it
            return self._ask(self._connection(), path, headers)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        self._open.add(connection)
        return connection

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            with reachable(self._timeout_s):
                connection.request("GET", f"{self._path}/{quote(path)}", headers=headers)
                if self._closed:  # close() ran before it could end this connection
                    raise Unreachable("a source that was closed meanwhile", "an answer")
                return connection, connection.getresponse()
        except SourceFault:
            self.discard(connection)
            raise


class _HttpBody:
    def __init__(
        self,
        source: HttpSource,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        begins_at: int,
        left_bytes: int,
        timeout_s: float,
    ) -> None:
        self.begins_at = begins_at
        self._source, self._connection, self._response = source, connection, response
        self._left_bytes, self._timeout_s = left_bytes, timeout_s

    def readinto(self, view: memoryview) -> int:
        if not self._left_bytes:
            return 0
        with reachable(self._timeout_s):
            # One receive; the response's own readinto would wait until the view is full.
            count = self._response.fp.readinto1(view[: self._left_bytes])
        if not count:
            raise Unreachable(f"a connection that closed {self._left_bytes} bytes too early", "the whole file")
        self._left_bytes -= count
        return count

    def close(self) -> None:
        whole = not self._left_bytes and not self._response.will_close
        self._response.close()
        if whole:
            self._source.keep(self._connection)
        else:
            self._source.discard(self._connection)


@contextmanager
def reachable(timeout_s: float) -> Iterator[None]:
    """Raises what goes wrong with a connection as a fault of the source."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"nothing for {timeout_s:g} s", "an answer") from error
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"a certificate of no authority in this system's store ({error.verify_message})",
            "the certificate of an authority that this system trusts",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{type(error).__name__}: {error}", "an answer") from error


def _check_status(response: http.client.HTTPResponse, *expected: int) -> None:
    status = response.status
    if status in expected:
        return
    if status in BUSY:
        raise NotYet(f"status {status} ({response.reason})", "a source that has it and is not busy")
    if 300 <= status < 400:
        target = response.getheader("Location")
        raise SourceFault(f"a redirect to {target}", "the file itself; redirects are not followed")
    kind = Unreachable if status >= 500 else SourceFault
    raise kind(f"status {status} ({response.reason})", " or ".join(map(str, expected)))


def _offset_of_answer(response: http.client.HTTPResponse, size_bytes: int, offset: int) -> int:
    """Offset of the answer's first byte. Raises SourceFault unless the answer is as long as the rest of the file."""
    _check_status(response, http.client.OK, http.client.PARTIAL_CONTENT)
    begins_at = 0
    if response.status == http.client.PARTIAL_CONTENT:
        range_, needed = response.getheader("Content-Range", ""), f"bytes {offset}-{size_bytes - 1}/"
        if not offset or range_.partition("/")[0] + "/" != needed:
            raise SourceFault(f"Content-Range {range_!r}", f"{needed}{size_bytes}")
        begins_at = offset
    expected_bytes = size_bytes - begins_at
    if response.length != expected_bytes:
        found = "no length" if response.length is None else f"an answer of {response.length} bytes"
        raise SourceFault(found, f"{expected_bytes} bytes")
    if encoding := response.getheader("Content-Encoding"):
        raise SourceFault(f"Content-Encoding {encoding}", "the file as it is")
    return begins_at
