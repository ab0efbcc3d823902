"""Fetches everything that a site's mirror holds into a folder that is carried to the site."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mirror.carry import bundle
from mirror.item import Item
from mirror.upstream import Upstream

from . import files, images, packages, wheels

KINDS = ("apt", "image", "wheel", "tool")
"""Kinds that are fetched. Models come from who publishes them, with `qwen-runtime weights manifest`."""


def fill(items: Sequence[Item], site: str, out: Path, upstream: Upstream, statuses: Mapping[str, Path]) -> None:
    """Fetch the items, and write the list of all files last: a folder without it is not whole.

    `statuses`: dpkg's status file of a host as it comes, by suite; dependencies that it has are left out.
    Raises Error for what cannot be fetched. A further run goes on from what is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[list[Item]], None]] = {
        "apt": lambda found: packages.fetch(found, out, upstream, statuses),
        "image": lambda found: images.fetch(found, out),
        "wheel": lambda found: wheels.fetch(found, out),
        "tool": lambda found: files.archives(found, out),
    }
    bundle.forget(out)
    for kind in KINDS:
        found = [item for item in items if item.kind == kind]
        if found:
            print(f"fetching {len(found)} of kind {kind}", file=sys.stderr, flush=True)
            steps[kind](found)
    bundle.write(out, site)
