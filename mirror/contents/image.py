"""Packages that an image consists of: Debian's by dpkg's database, Python's by what pip wrote.

The layers are read as they are; nothing of the image is run.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mirror.item import Item
from mirror.tools import programs

# Databases of dpkg: one file, or in images without dpkg a file for each package.
DATABASES = re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+)")
RELEASES = re.compile(r"(usr/lib|etc)/os-release")
METADATA = re.compile(r"(.+/)?[^/]+\.dist-info/METADATA")
COPY = ("skopeo", "--override-os=linux", "--override-arch=amd64", "copy", "--quiet", "--dest-decompress")
REMOVED, EMPTIED = ".wh.", ".wh..wh..opq"
"""Names by which a layer removes a file of those below it, and everything in a folder."""


def packages(source: str, options: Sequence[str], at: str) -> list[Item]:
    """Packages of an image, in the order of their names.

    `source`: the image as skopeo names it. `options`: skopeo's, for a login and an authority. `at`: the image's name at
    the site. Raises ToolError.
    """
    with tempfile.TemporaryDirectory() as folder:
        programs.run([*COPY, *options, source, f"dir:{folder}"], f"image {at}")
        files = _files(Path(folder))
    release = _release(files)
    found = {*_debian(files, release, at), *_python(files, at)}
    return sorted(found, key=lambda item: (item.kind, item.name, item.version))


def _files(image: Path) -> dict[str, str]:
    """Text of the wanted files by path, as all layers together leave them."""
    files: dict[str, str] = {}
    for layer in json.loads((image / "manifest.json").read_text())["layers"]:
        new: dict[str, str] = {}
        with tarfile.open(image / layer["digest"].partition(":")[2], "r|*") as tar:
            for entry in tar:
                path = PurePosixPath(entry.name.removeprefix("./"))
                if path.name.startswith(REMOVED):
                    gone = str(path.parent if path.name == EMPTIED else path.with_name(path.name[len(REMOVED) :]))
                    files = {at: text for at, text in files.items() if at != gone and not at.startswith(f"{gone}/")}
                elif any(pattern.fullmatch(str(path)) for pattern in (DATABASES, RELEASES, METADATA)):
                    new |= _text(tar, entry, str(path))
        files |= new
    return files


def _text(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> dict[str, str]:
    stream = tar.extractfile(entry) if entry.isreg() else None
    return {path: stream.read().decode(errors="replace")} if stream else {}


def _release(files: dict[str, str]) -> str:
    """Name of the image's release, such as bookworm; empty where it has none."""
    texts = [text for path, text in files.items() if RELEASES.fullmatch(path)]
    names = [match[1] for text in texts if (match := re.search(r'^VERSION_CODENAME="?(\w+)', text, re.MULTILINE))]
    return names[0] if names else ""


def _debian(files: dict[str, str], release: str, at: str) -> Iterator[Item]:
    for text in (text for path, text in files.items() if DATABASES.fullmatch(path)):
        for stanza in text.split("\n\n"):
            fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
            is_there = fields.get("Status", "install ok installed").endswith(" installed")
            if is_there and {"Package", "Version"} <= fields.keys():
                yield Item("apt", release, fields["Package"], at, "", version=fields["Version"], used_by=at)


def _python(files: dict[str, str], at: str) -> Iterator[Item]:
    for text in (text for path, text in files.items() if METADATA.fullmatch(path)):
        fields = dict(re.findall(r"^(Name|Version): (\S+)$", text.partition("\n\n")[0], re.MULTILINE))
        if {"Name", "Version"} <= fields.keys():
            yield Item("wheel", "", fields["Name"], at, "", version=fields["Version"], used_by=at)
