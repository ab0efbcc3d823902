"""The list of the images that a site vouches for, with the digests that its registry has.

    {"format": 1, "site": REGISTRY, "images": [{"name": NAME AT THE SITE, "digest": "sha256:..."}, ...]}

Its signature in `<file>.sig` is Ed25519 over its bytes. The serving stack admits what is on it (`signedImages`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qwen_runtime import signature
from qwen_runtime.errors import Fault, UsageError

from mirror.check import images
from mirror.item import Item
from mirror.site import Site

FORMAT = 1
Entry = dict[str, str]


def digests(site: Site, items: Sequence[Item]) -> tuple[list[Entry], list[Fault]]:
    """Names and digests of the images that the registry has, and faults of the others."""
    answers = images.answers(items, images.login(site), site.authority)
    named = list(zip(items, answers, strict=True))
    entries = [{"name": item.at, "digest": answer} for item, answer in named if isinstance(answer, str)]
    return entries, [answer for answer in answers if isinstance(answer, Fault)]


def read(file: Path) -> list[Entry]:
    """Entries of a list. Raises UsageError for a file that is none."""
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        return [{"name": entry["name"], "digest": entry["digest"]} for entry in document["images"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(
            f"{file}: {problem}", f"a list of format {FORMAT}", "Name a list of an earlier run."
        ) from problem


def write(file: Path, registry: str, entries: Sequence[Entry], key: Path) -> None:
    """Write and sign the list; an earlier one is only replaced by one that is signed. Raises Error."""
    partial = file.with_name(f".{file.name}.partial")
    document = {"format": FORMAT, "site": registry, "images": list(entries)}
    partial.write_text(json.dumps(document, indent=1) + "\n")
    try:
        signature.sign(partial, key)
        signature.of(file).unlink(missing_ok=True)
        partial.replace(file)
        signature.of(partial).replace(signature.of(file))
    finally:
        partial.unlink(missing_ok=True)
