"""Requests to the site's web server, which answer whether files are there."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qwen_runtime.errors import Fault

AT_ONCE = 4
TIMEOUT_S = 30
LARGEST_BYTES = 64 << 20
"""Largest manifest or page that is read."""


class Absent(Exception):
    """The server's answer where it did not give the file."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A file that the server should have, with its size in bytes."""

    label: str
    """The name by which messages call it."""
    url: str
    size: int
    remedy: str


class Web:
    """The site's web server, which the site's authority vouches for."""

    def __init__(self, authority: Path | None) -> None:
        self._context = ssl.create_default_context(cafile=str(authority) if authority else None)

    def read(self, url: str) -> bytes:
        """The content. Raises Absent."""
        with self._open(url, "GET") as answer:
            content: bytes = answer.read(LARGEST_BYTES)
            return content

    def size(self, url: str) -> int:
        """Size in bytes. Raises Absent, also for a page of text in place of the file."""
        with self._open(url, "HEAD") as answer:
            kind = answer.headers.get_content_type()
            if kind == "text/html":
                raise Absent(f"a page ({kind}) at {url}")
            return int(answer.headers.get("Content-Length", -1))

    def lacking(self, files: Iterable[Sized]) -> Iterator[Fault]:
        """Faults of files that are not there or have another size, several asked for at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from filter(None, pool.map(self._fault, files))

    def _fault(self, file: Sized) -> Fault | None:
        needed = f"{file.size} bytes"
        try:
            size = self.size(file.url)
        except Absent as absent:
            return Fault(file.label, str(absent), needed, file.remedy)
        return None if size == file.size else Fault(file.label, f"{size} bytes", needed, file.remedy)

    def _open(self, url: str, method: str) -> urllib.request._UrlopenRet:
        try:
            request = urllib.request.Request(url, method=method)
            return urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context)
        except urllib.error.HTTPError as refusal:
            raise Absent(f"{refusal.code} {refusal.reason} at {url}") from refusal
        except OSError as problem:
            raise Absent(f"{getattr(problem, 'reason', problem)} at {url}") from problem
