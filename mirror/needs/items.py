"""Everything that a site's inventory needs of its mirror."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from images.catalog import CATALOG, choose, load
from mirror.item import KINDS, Item
from mirror.site import Site
from mirror.upstream import Upstream

from . import files, images, packages

UPSTREAM = Upstream()


def needed(
    site: Site,
    *,
    kinds: Collection[str] = KINDS,
    variant: str = "cuda",
    catalogs: Sequence[Path] = (CATALOG,),
    upstream: Upstream = UPSTREAM,
) -> list[Item]:
    """Items of these kinds, in the order of KINDS.

    `variant`: of the runtime image. `catalogs`: of the images that are built, in the form of images/catalog.yml.
    Raises UsageError and AnsibleError for an inventory that cannot say what it needs, and ImageError for a catalogue.
    """
    own = choose([image for catalog in catalogs for image in load(catalog, upstream.versions)], variant)

    listed = list(packages.packages(site, own, upstream)) if {"apt", "key"} & set(kinds) else []
    makers: dict[str, Callable[[], Iterable[Item]]] = {
        "apt": lambda: listed,
        "key": lambda: packages.keys(site, listed, upstream),
        "image": lambda: images.images(site, own, upstream),
        "wheel": lambda: files.wheels(site, own),
        "tool": lambda: files.tools(site, images.scales(site), upstream),
        "model": lambda: files.models(site, upstream),
    }
    return [item for kind in KINDS if kind in kinds for item in makers[kind]()]
