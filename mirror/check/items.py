"""Whether a site's mirror has everything that is listed, asked of the mirror alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qwen_runtime.errors import Fault

from mirror.item import KINDS, Item
from mirror.site import Site
from mirror.tools import clock

from . import files, images, packages
from .web import Web


def missing(site: Site, items: Sequence[Item], statuses: Mapping[str, Path]) -> list[Fault]:
    """One fault for each item that cannot be had.

    `statuses`: dpkg's status file of a host as it comes, by suite; apt then resolves dependencies against it.
    """
    web = Web(site.authority)
    checks: dict[str, Callable[[list[Item]], Iterable[Fault]]] = {
        "apt": lambda found: packages.missing(found, _apt_key(site), site.authority, statuses),
        "key": lambda found: _keys(found),
        "image": lambda found: images.missing(found, images.login(site), site.authority),
        "wheel": lambda found: files.wheels(found, web),
        "tool": lambda found: files.tools(found, web),
        "model": lambda found: files.models(found, web),
    }
    faults: list[Fault] = []
    for kind in KINDS:
        found = [item for item in items if item.kind == kind]
        if found:
            print(f"asking for {len(found)} of kind {kind}", file=sys.stderr, flush=True)
            faults += checks[kind](found)
    return [replace(fault, remedy=clock.remedy(fault.found, fault.remedy)) for fault in faults]


def _keys(items: Iterable[Item]) -> Iterator[Fault]:
    """The site's own key is a file of the controller; the others are needed where the mirror is filled."""
    for item in items:
        if item.at and not Path(item.at).is_file():
            yield Fault(
                item.label, f"no file {item.at}", "the key that signs the site's repository", "Export it there."
            )


def _apt_key(site: Site) -> Path:
    return Path(site.value("base_apt_key_file"))
