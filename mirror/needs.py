"""Everything that a site's inventory needs of its mirror."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from images.catalog import CATALOG, VERSIONS, choose, load

from . import needs_files, needs_images, needs_packages
from .item import KINDS, Item
from .site import Site


def items(
    site: Site,
    *,
    kinds: Collection[str] = KINDS,
    variant: str = "cuda",
    catalogs: Sequence[Path] = (CATALOG,),
    versions: Path = VERSIONS,
) -> list[Item]:
    """Items of these kinds, in the order of KINDS.

    `variant`: of the runtime image. `catalogs`: of the images that are built, in the form of images/catalog.yml.
    Raises UsageError and AnsibleError for an inventory that cannot say what it needs, and ImageError for a catalogue.
    """
    own = choose([image for catalog in catalogs for image in load(catalog, versions)], variant)

    listed = list(needs_packages.packages(site, own, versions)) if {"apt", "key"} & set(kinds) else []
    makers: dict[str, Callable[[], Iterable[Item]]] = {
        "apt": lambda: listed,
        "key": lambda: needs_packages.keys(site, listed, versions),
        "image": lambda: needs_images.images(site, own, versions),
        "wheel": lambda: needs_files.wheels(site, own),
        "tool": lambda: needs_files.tools(site, needs_images.scales(site), versions),
        "model": lambda: needs_files.models(site, versions),
    }
    return [item for kind in KINDS if kind in kinds for item in makers[kind]()]
