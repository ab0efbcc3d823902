"""The list of the images that a site vouches for, with the digests that its registry has.

    {"format": 1, "site": REGISTRY, "images": [{"name": NAME AT THE SITE, "digest": "sha256:..."}, ...]}

Images that were built here may have `provenance`, the digest of the statement of how they were built.
Its signature in `<file>.sig` is Ed25519 over its bytes. The serving stack admits what is on it (`signedImages`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qwen_runtime import signature
from qwen_runtime.errors import Fault, UsageError

from images import provenance
from mirror.carry import bundle
from mirror.check import images
from mirror.item import Item
from mirror.needs.images import BUILT
from mirror.site import Site

FORMAT = 1
Entry = dict[str, str]


def digests(site: Site, items: Sequence[Item]) -> tuple[list[Entry], list[Fault]]:
    """Names and digests of the images that the registry has, and faults of the others."""
    answers = images.answers(items, images.login(site), site.authority)
    named = list(zip(items, answers, strict=True))
    entries = [{"name": item.at, "digest": answer} for item, answer in named if isinstance(answer, str)]
    return entries, [answer for answer in answers if isinstance(answer, Fault)]


def with_provenance(items: Sequence[Item], entries: Sequence[Entry], folder: Path) -> tuple[list[Entry], list[Fault]]:
    """The entries with the digest of its statement for each image that was built here, and faults of those without one.

    `entries`: of the items, in their order. `folder`: where `images.build --provenance` wrote the statements.
    """
    named: list[Entry] = []
    faults: list[Fault] = []
    for item, entry in zip(items, entries, strict=True):
        if item.source != BUILT:
            named.append(entry)
            continue
        file = folder / provenance.file_of(item.name.partition(":")[0], entry["digest"])
        if _is_of(file, entry["digest"]):
            named.append({**entry, "provenance": f"sha256:{bundle.sha256(file)}"})
        else:
            remedy = "Name the folder that images.build --provenance wrote to, or build the image with that option."
            faults.append(Fault(item.label, f"no statement of {entry['digest']}", str(file), remedy))
    return named, faults


def _is_of(file: Path, digest: str) -> bool:
    """Whether a file is the statement of an image with this digest."""
    try:
        [subject] = json.loads(file.read_bytes())["subject"]
        return bool(subject["digest"] == {"sha256": digest.removeprefix("sha256:")})
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read(file: Path) -> list[Entry]:
    """Entries of a list. Raises UsageError for a file that is none."""
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        known = ("name", "digest", "provenance")
        entries: list[Entry] = document["images"]
        if not all({"name", "digest"} <= entry.keys() <= set(known) for entry in entries):
            raise ValueError(f"an image without name or digest, or with more than {', '.join(known)}")
        return entries
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
