"""Whether the site's apt repository has every package and its file, and by apt's own resolver every dependency."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from qwen_runtime.errors import Fault, UsageError

from mirror.item import Item
from mirror.tools.apt import Apt, reason

from .web import Sized, Web

COPY = "Copy the file there again, from the folder that was filled."
FILL = "Fill the mirror again, and write and sign the repository's lists anew."


def missing(items: Sequence[Item], key: Path, authority: Path | None, statuses: Mapping[str, Path]) -> Iterator[Fault]:
    """Faults of all suites: of lists, of what they name, and of the files behind it.

    `statuses`: see check.missing. Raises UsageError where the key's file is not there.
    """
    if not key.is_file():
        raise UsageError(f"no file {key}", "the key that signs the site's repository", "Export it there.")
    web = Web(authority)
    for suite, found in groupby(items, lambda item: item.group):
        brought = _installed(statuses.get(suite))
        members = [item for item in found if item.version or item.name not in brought]
        if not members:
            continue
        url = members[0].at.split()[0]
        with tempfile.TemporaryDirectory() as folder:
            source = f"deb [arch=amd64 signed-by={key}] {url} {suite} main"
            apt = Apt(Path(folder), [source], authority, statuses.get(suite))
            update = apt.update()
            if update.returncode:
                yield Fault(f"apt {suite}", reason(update), f"lists of {suite} at {url}, signed by {key}", FILL)
                continue
            there, absent = _offered(apt, members)
            yield from absent
            if suite in statuses and there:
                yield from _unresolved(apt, there)
            files = apt.files(there, with_dependencies=suite in statuses) if there else {}
            yield from web.lacking(
                Sized(f"apt {suite} file {at.rpartition('/')[2]}", at, size, COPY) for at, size in files.items()
            )


def _installed(status: Path | None) -> set[str]:
    """Packages that a host of the suite brings, which a mirror that was filled against it does not have."""
    text = status.read_text() if status else ""
    return set(re.findall(r"^Package: (\S+)\nStatus: \S+ \S+ installed$", text, re.MULTILINE))


def _offered(apt: Apt, items: Sequence[Item]) -> tuple[list[Item], list[Fault]]:
    """Items that the repository has in their version, and faults of the others."""
    versions: dict[str, list[str]] = {}
    for line in apt.run("apt-cache", "madison", *(item.name for item in items)).stdout.splitlines():
        name, version, _ = (column.strip() for column in line.split("|", 2))
        versions.setdefault(name, []).append(version)
    there: list[Item] = []
    absent: list[Fault] = []
    for item in items:
        have = versions.get(item.name, [])
        if any(fnmatchcase(version, item.version or "*") for version in have):
            there.append(item)
        else:
            found = f"{item.name} {', '.join(have)}" if have else f"no {item.name} in {item.group}"
            absent.append(Fault(item.label, found, f"{item.name} {item.version}".strip(), FILL))
    return there, absent


def _unresolved(apt: Apt, items: Sequence[Item]) -> Iterator[Fault]:
    """Packages whose dependencies apt cannot find; all at once first, since nearly always nothing is missing."""
    if apt.simulate(items).returncode:
        for item in items:
            attempt = apt.simulate([item])
            if attempt.returncode:
                yield Fault(item.label, reason(attempt), "every package that it depends on", FILL)
