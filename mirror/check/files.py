"""Whether the site's web server has the wheels, archives and models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
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
from qwen_runtime.errors import Fault, WeightsError
from qwen_runtime.weights import MANIFEST_NAME, manifest

from mirror import systems
from mirror.item import Item

from .web import Absent, Sized, Web


def tools(items: Sequence[Item], web: Web) -> Iterator[Fault]:
    """Faults of archives that the server does not have, or has empty: their size is not known."""
    for item in items:
        try:
            found = "" if web.size(item.at) else f"an empty file at {item.at}"
        except Absent as absent:
            found = str(absent)
        if found:
            yield Fault(item.label, found, item.name, f"Put it there from {item.source}.")


def models(items: Sequence[Item], web: Web) -> Iterator[Fault]:
    """Faults of models: another manifest than the site vouches for, and files that are missing or of another size."""
    for item in items:
        try:
            content = web.read(f"{item.at}/{MANIFEST_NAME}")
        except Absent as absent:
            yield Fault(item.label, str(absent), "the model's manifest", "Copy the model there, with its manifest.")
            continue
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if item.digest and digest != item.digest:
            remedy = "Copy the model again, or correct site_model_manifests."
            yield Fault(item.label, f"a manifest with {digest}", item.digest, remedy)
            continue
        try:
            entries = manifest.parse(content, f"{item.at}/{MANIFEST_NAME}").files
        except WeightsError as problem:
            yield Fault(item.label, problem.found, problem.needed, "Copy the model again, with its manifest.")
            continue
        yield from web.lacking(
            Sized(f"{item.label} {entry.path}", f"{item.at}/{quote(entry.path)}", entry.size, "Copy the file again.")
            for entry in entries
        )


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
