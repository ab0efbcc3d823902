"""Whether a site's mirror has everything that is listed, asked of the mirror alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from qwen_runtime.errors import Fault

from . import check_apt, check_files, check_images
from .item import KINDS, Item
from .site import Site


def missing(site: Site, items: Sequence[Item], statuses: Mapping[str, Path]) -> list[Fault]:
    """One fault for each item that cannot be had.

    `statuses`: dpkg's status file of a host as it comes, by suite; apt then resolves dependencies against it.
    """
    web = check_files.Web(authority(site))
    checks: dict[str, Callable[[list[Item]], Iterable[Fault]]] = {
        "apt": lambda found: check_apt.missing(found, _apt_key(site), authority(site), statuses),
        "key": lambda found: _keys(found),
        "image": lambda found: check_images.missing(found, check_images.Login(*_login(site)), authority(site)),
        "wheel": lambda found: check_files.wheels(found, web),
        "tool": lambda found: check_files.tools(found, web),
        "model": lambda found: check_files.models(found, web),
    }
    faults: list[Fault] = []
    for kind in KINDS:
        found = [item for item in items if item.kind == kind]
        if found:
            print(f"asking for {len(found)} of kind {kind}", file=sys.stderr, flush=True)
            faults += checks[kind](found)
    return faults


def _keys(items: Iterable[Item]) -> Iterator[Fault]:
    """The site's own key is a file of the controller; the others are needed where the mirror is filled."""
    for item in items:
        if item.at and not Path(item.at).is_file():
            yield Fault(
                item.label, f"no file {item.at}", "the key that signs the site's repository", "Export it there."
            )


def _apt_key(site: Site) -> Path:
    return Path(site.value("base_apt_key_file"))


def authority(site: Site) -> Path | None:
    """Certificate of the authority that signed the mirror's certificates; None where systems trust it already."""
    file = site.value("base_ca_file", default="")
    return Path(file) if file else None


def _login(site: Site) -> tuple[str, str]:
    user = site.value("container_runtime_registry_user", default="")
    return (user, site.value("container_runtime_registry_password")) if user else ("", "")
