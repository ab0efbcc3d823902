"""Lists of items: a table for people, JSON, and commands that copy images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from mirror.item import Item

DIGEST_DIGITS = 12


def table(items: Sequence[Item]) -> str:
    """One heading for each kind and group, with the source if all of the group share it, and one line for each item."""
    lines: list[str] = []
    for (kind, group), found in groupby(items, lambda item: (item.kind, item.group)):
        members = list(found)
        shared = {item.source for item in members} if len(members) > 1 else set()
        source = f", from {members[0].source}" if len(shared) == 1 else ""
        rows = [_row(item, with_source=not source) for item in members]
        lines += ["", f"{kind} {group}".rstrip() + f" ({len(rows)}{source})"]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines[1:])


def as_json(items: Sequence[Item]) -> str:
    return json.dumps([asdict(item) for item in items], indent=1)


def skopeo(items: Sequence[Item]) -> str:
    """Commands that copy the images of other projects into the site's registry."""
    copied = [item for item in items if item.is_copied]
    return "\n".join(f"skopeo copy --preserve-digests docker://{i.source} docker://{i.at}" for i in copied)


def _row(item: Item, *, with_source: bool) -> tuple[str, ...]:
    """Name at the site, where it comes from, size, digest, what needs it."""
    name = item.at if item.kind == "image" else item.name
    version = f"={item.version}" if item.version and item.kind == "apt" else f" {item.version}" if item.version else ""
    scheme, _, digest = item.digest.partition(":")
    short = f"{scheme}:{digest[:DIGEST_DIGITS]}" if digest else f"{len(item.digests)} digests" if item.digests else ""
    size = f"{item.size_bytes / 1e9:.1f} GB" if item.size_bytes else ""
    source = (item.source or "the site's own") if with_source else ""
    return name + version, source, size, short, item.used_by
