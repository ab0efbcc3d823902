"""Whether the site's web server has the wheels, archives and models."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from qwen_runtime.errors import Fault

from mirror import systems
from mirror.item import Item

AT_ONCE = 4
TIMEOUT_S = 30
LARGEST_BYTES = 64 << 20
"""Largest manifest or page that is read."""


class Absent(Exception):
    """The server's answer where it did not give the file."""


class Web:
    """Requests to the site's web server, which the site's authority vouches for."""

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

    def problem(self, url: str) -> str:
        """The answer in place of the file, or nothing if the file is there."""
        try:
            self.size(url)
        except Absent as absent:
            return str(absent)
        return ""

    def _open(self, url: str, method: str) -> urllib.request._UrlopenRet:
        try:
            request = urllib.request.Request(url, method=method)
            return urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context)
        except urllib.error.HTTPError as refusal:
            raise Absent(f"{refusal.code} {refusal.reason} at {url}") from refusal
        except OSError as problem:
            raise Absent(f"{getattr(problem, 'reason', problem)} at {url}") from problem


def tools(items: Sequence[Item], web: Web) -> Iterator[Fault]:
    """Faults of archives that the server does not have."""
    for item in items:
        absent = web.problem(item.at)
        if absent:
            yield Fault(item.label, absent, item.name, f"Put it there from {item.source}.")


def models(items: Sequence[Item], web: Web) -> Iterator[Fault]:
    """Faults of models: another manifest than the site vouches for, and files that are missing or of another size."""
    for item in items:
        try:
            manifest = web.read(f"{item.at}/manifest.json")
        except Absent as absent:
            yield Fault(item.label, str(absent), "the model's manifest", "Copy the model there, with its manifest.")
            continue
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        if item.digest and digest != item.digest:
            remedy = "Copy the model again, or correct site_model_manifests."
            yield Fault(item.label, f"a manifest with {digest}", item.digest, remedy)
            continue
        yield from _files(item, json.loads(manifest)["files"], web)


def _files(item: Item, entries: Sequence[dict[str, object]], web: Web) -> Iterator[Fault]:
    def fault(entry: dict[str, object]) -> Fault | None:
        path, needed = str(entry["path"]), f"{entry['size']} bytes"
        try:
            size = web.size(f"{item.at}/{quote(path)}")
        except Absent as absent:
            return Fault(f"{item.label} {path}", str(absent), needed, "Copy the file again.")
        if size != entry["size"]:
            return Fault(f"{item.label} {path}", f"{size} bytes", needed, "Copy the file again.")
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from filter(None, pool.map(fault, entries))


def wheels(items: Sequence[Item], web: Web) -> Iterator[Fault]:
    """Faults of locked packages of which the folder has no file that the Python in question takes."""
    url = items[0].at
    try:
        page = _Links(web.read(url).decode(errors="replace"))
    except Absent as absent:
        yield Fault("wheels", str(absent), f"a page with links to {len(items)} wheels", f"Copy the wheels to {url}.")
        return
    there = _files_by_version(page.names)
    for item in items:
        tags = _tags(item.group.rpartition(" ")[2])
        offered = there.get((canonicalize_name(item.name), Version(item.version)), [])
        if not any(offer is None or tags & offer for offer in offered):
            found = "files for other systems only" if offered else f"no file of it at {url}"
            yield Fault(
                item.label, found, f"{item.name} {item.version}", "Fetch the locked wheels again, and copy them."
            )


class _Links(HTMLParser):
    """Names of the files that a page links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") if tag == "a" else None
        if target:
            self.names.append(unquote(re.split(r"[?#]", target)[0].rpartition("/")[2]))


def _files_by_version(names: Sequence[str]) -> dict[tuple[str, Version], list[frozenset[Tag] | None]]:
    """Tags of each wheel, and None for each source archive, by name and version."""
    files: dict[tuple[str, Version], list[frozenset[Tag] | None]] = {}
    for name in names:
        read = _read(name)
        if read:
            project, version, tags = read
            files.setdefault((project, version), []).append(tags)
    return files


def _read(name: str) -> tuple[str, Version, frozenset[Tag] | None] | None:
    """Project, version and tags of a file's name; None for a file of another kind."""
    try:
        if name.endswith(".whl"):
            project, version, _, tags = parse_wheel_filename(name)
            return project, version, tags
        return *parse_sdist_filename(name), None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _tags(python: str) -> set[Tag]:
    """Tags of the wheels that this Python takes on its system."""
    platforms = systems.platforms(python)
    numbers = tuple(map(int, python.split(".")))
    interpreter = f"cp{''.join(map(str, numbers))}"
    return {
        *cpython_tags(numbers, platforms=platforms),
        *compatible_tags(numbers, interpreter=interpreter, platforms=platforms),
    }
