"""Requests of a mirror's clients, by the record of its web server, beside what a list names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from packaging.utils import canonicalize_name, parse_wheel_filename

from mirror.item import Item

REQUEST = re.compile(r'^(\S+) .*?"(\S+) (\S+) HTTP/[\d.]+" (\d+)', re.MULTILINE)
PACKAGE = re.compile(r"/apt/pool/.*/([^/_]+)_([^/_]+)_[^/_]+\.deb")
MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
MODEL = re.compile(r"/models/([^/]+)/.*")
WHEEL = re.compile(r"/wheels/([^/]+\.whl)")
ARCHIVE = re.compile(r"/tools/([^/]+)")
BESIDE = re.compile(r"/apt/dists/.*|/v2/|/v2/.+/blobs/[^/]+|/(models|wheels|tools)/")
"""Lists of packages and of files, the question whether there is a registry, and layers, which a manifest names."""
Needs = Mapping[str, set[str]]
"""Names of the packages that a package needs, by its name."""


@dataclass(frozen=True, slots=True)
class Request:
    client: str
    method: str
    path: str
    status: str


def requests(record: str) -> list[Request]:
    """Each line of an access log in nginx's usual form, with its path as it is named on the disk."""
    return [
        Request(client, method, unquote(path.partition("?")[0]), status)
        for client, method, path, status in REQUEST.findall(record)
    ]


def needs(lists: str) -> Needs:
    """Needs of the packages in an apt repository's list, and of the names that some of them provide."""
    found: dict[str, set[str]] = {}
    for stanza in lists.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if "Package" in fields:
            text = f"{fields.get('Depends', '')}, {fields.get('Pre-Depends', '')}"
            names = {re.split(r"[ (:]", word.strip())[0] for word in re.split(r"[,|]", text)} - {""}
            found.setdefault(fields["Package"], set()).update(names)
            for provided in re.split(r",\s*", fields.get("Provides", "")):
                found.setdefault(provided.split(" ")[0], set()).add(fields["Package"])
    return found


def unlisted(items: Iterable[Item], asked: Iterable[Request], needed: Needs) -> list[str]:
    """Names of what was asked for and is neither listed nor needed by a listed package, sorted.

    A package that is listed with versions must be one of them. An image by digest may be of an earlier build.
    """
    listed = _Listed(list(items), needed)
    return sorted({name for request in asked if (name := listed.lacks(request))})


def surplus(items: Iterable[Item], asked: Iterable[Request]) -> list[Item]:
    """Listed packages, images and models that nobody asked for."""
    paths = [request.path for request in asked]
    packages = {match.groups() for path in paths if (match := PACKAGE.fullmatch(path))}
    names = {name for name, _ in packages}
    repositories = {match[1] for path in paths if (match := MANIFEST.fullmatch(path))}
    models = {match[1] for path in paths if (match := MODEL.fullmatch(path))}

    def is_asked(item: Item) -> bool:
        match item.kind:
            case "apt":
                return (item.name, _in_file_name(item.version)) in packages if item.version else item.name in names
            case "image":
                return _repository(item) in repositories
            case "model":
                return item.name in models
            case _:
                return True

    return [item for item in items if not is_asked(item)]


class _Listed:
    """Names of what is listed, for the question whether a request is for one of them."""

    def __init__(self, items: list[Item], needed: Needs) -> None:
        packages = [item for item in items if item.kind == "apt"]
        self.closure = _closure({item.name for item in packages}, needed)
        self.versions: dict[str, set[str]] = {}
        for item in packages:
            if item.version:
                self.versions.setdefault(item.name, set()).add(_in_file_name(item.version))
        self.images = {item.name for item in items if item.kind == "image"}
        self.repositories = {_repository(item) for item in items if item.kind == "image"}
        self.models = {item.name for item in items if item.kind == "model"}
        self.archives = {item.name for item in items if item.kind == "tool"}
        self.wheels = {(canonicalize_name(item.name), item.version) for item in items if item.kind == "wheel"}

    def lacks(self, request: Request) -> str:
        """Name of what a request is for; empty where it is listed."""
        path = request.path
        if request.method not in {"GET", "HEAD"}:
            return f"{request.method} {path}"
        if match := PACKAGE.fullmatch(path):
            name, version = match.groups()
            is_listed = name in self.closure and version in self.versions.get(name, {version})
            return "" if is_listed else f"apt {name}={version}"
        if match := MANIFEST.fullmatch(path):
            repository, tag = match.groups()
            if tag.startswith("sha256:"):
                return "" if repository in self.repositories else f"image {repository}"
            return "" if f"{repository}:{tag}" in self.images else f"image {repository}:{tag}"
        if match := MODEL.fullmatch(path):
            return "" if match[1] in self.models else f"model {match[1]}"
        if match := ARCHIVE.fullmatch(path):
            return "" if match[1] in self.archives else f"tool {match[1]}"
        if match := WHEEL.fullmatch(path):
            name, version, *_ = parse_wheel_filename(match[1])
            return "" if (name, str(version)) in self.wheels else f"wheel {name}=={version}"
        return "" if BESIDE.fullmatch(path) else path


def _closure(names: set[str], needed: Needs) -> set[str]:
    """The names, and those of all that they need."""
    closure: set[str] = set()
    wanted = set(names)
    while wanted:
        closure |= wanted
        wanted = {need for name in wanted for need in needed.get(name, set())} - closure
    return closure


def _in_file_name(version: str) -> str:
    """A version as the names of files have it: without its epoch."""
    return version.rpartition(":")[2]


def _repository(item: Item) -> str:
    return item.name.partition(":")[0]
