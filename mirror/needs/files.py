"""Wheels, archives and models that a site's mirror holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from packaging.requirements import Requirement
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue

from images.catalog import ROOT, Image
from mirror import systems
from mirror.item import Item
from mirror.site import Site
from mirror.upstream import Upstream

INDEX = "the index that pip is set up for"
CONTROLLER_LOCK, UV_LOCK, SOURCE_LOCK = "locks/controller.txt", "locks/uv.txt", "locks/runtime-source.txt"
REQUIREMENT = re.compile(r"^([^\s#-][^\\\n]*?) ?\\?\n((?:\s+--hash=\S+(?: \\)?\n)*)", re.MULTILINE)


def wheels(site: Site, own: Iterable[Image]) -> Iterator[Item]:
    """Wheels of the controller's environment and of the images, for the Python that each one runs."""
    url = f"{site.value('site_mirror_url')}/wheels/"
    users: dict[tuple[str, str], list[str]] = {}
    if site.controller_system:
        users[CONTROLLER_LOCK, site.controller_system] = ["controller"]
    known = {image.name: image for image in own}
    for image in known.values():
        if image.lock:
            system = systems.of_image(image, known)
            for lock in (image.lock, UV_LOCK, SOURCE_LOCK):
                users.setdefault((lock, system), []).append(f"image {image.name}")
    for (lock, system), used_by in users.items():
        yield from _locked(lock, system, url, ", ".join(used_by))


def _locked(lock: str, system: str, url: str, user: str) -> Iterator[Item]:
    """Each line of a lock whose marker holds on the system's Python."""
    python = systems.PYTHONS[system]
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
    }
    for line, hashes in REQUIREMENT.findall((ROOT / lock).read_text()):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            version = str(requirement.specifier).removeprefix("==")
            digests = tuple(re.findall(r"--hash=(sha256:\w+)", hashes))
            group = f"{lock}, Python {python}"
            yield Item("wheel", group, requirement.name, url, INDEX, version=version, digests=digests, used_by=user)


def tools(site: Site, scales: bool, upstream: Upstream) -> Iterator[Item]:
    """Archives for the controller: pulumi's engine and provider, and KEDA's release file where replicas scale."""
    if not site.controller_system:
        return
    table = upstream.table
    for source in (*table["tools"], *(table["autoscaling_tools"] if scales else ())):
        name = source.rpartition("/")[2]
        yield Item("tool", "", name, f"{site.value('site_mirror_url')}/tools/{name}", source, used_by="controller")


def models(site: Site, upstream: Upstream) -> Iterator[Item]:
    """Models with the digest of the manifest that the site vouches for, and the bytes of their tensors."""
    pinned = site.value("site_model_manifests")
    [mirror, *_] = site.value("weights_sources")
    for name in site.value("site_models"):
        shape = catalogue.find(name)
        digest = f"sha256:{pinned[name]}" if name in pinned else ""
        size = shape.size_bytes if shape else None
        source = _repository(shape.name, upstream.table["models"]) if shape else ""
        yield Item("model", "", name, f"{mirror}/{name}", source, size_bytes=size, digest=digest, used_by="gpu")


def _repository(name: str, rows: dict[str, str]) -> str:
    """Address of a model's repository: the first row whose pattern its published name matches. Raises UsageError."""
    for pattern, place in rows.items():
        if fnmatchcase(name, pattern):
            return f"{place}/{name}"
    raise UsageError(
        f"no source for model {name}", "a row that matches it", "Add one to models in mirror/upstream.yml."
    )
