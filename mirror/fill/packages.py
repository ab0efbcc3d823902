"""Debian packages with their dependencies, from the repositories of upstream.yml, by apt's own resolver."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from qwen_runtime.errors import UsageError

from mirror import systems
from mirror.item import Item
from mirror.tools import clock, programs
from mirror.tools.apt import Apt, reason
from mirror.upstream import Repository, Upstream


def fetch(items: Sequence[Item], out: Path, upstream: Upstream, statuses: Mapping[str, Path]) -> None:
    """Put each suite's packages into out/apt/<suite>. Raises UsageError and ToolError."""
    for suite, found in groupby(items, lambda item: item.group):
        members = list(found)
        with tempfile.TemporaryDirectory() as folder:
            repositories = _repositories(suite, members, upstream)
            sources = [_source(repository, Path(folder)) for repository in repositories]
            apt = Apt(Path(folder), sources, None, statuses.get(suite))
            _fetch(apt, suite, members, out / "apt" / suite)


def _fetch(apt: Apt, suite: str, items: Sequence[Item], into: Path) -> None:
    partial = into / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    update = apt.update()
    if update.returncode:
        said = reason(update)
        remedy = clock.remedy(said, "Correct mirror/upstream.yml, or run it again.")
        raise programs.ToolError(f"packages of {suite}: {said}", "lists signed by the known keys", remedy)
    download = apt.download(items, into)
    if download.returncode:
        remedy = "A package that is gone needs another version in versions.yml; otherwise run it again: it goes on."
        raise programs.ToolError(f"packages of {suite}: {reason(download)}", "every package and dependency", remedy)
    partial.rmdir()
    for package in into.glob("*%3a*"):
        # apt writes a version's epoch into the name as %3a, which a URL would read as a colon.
        package.replace(package.with_name(re.sub(r"_\d+%3a", "_", package.name)))


def _repositories(suite: str, items: Sequence[Item], upstream: Upstream) -> list[Repository]:
    """The system's own repositories, and those of other projects that an item comes from."""
    [system] = [system for system, release in systems.RELEASES.items() if release == suite]
    used = {item.source.split()[0] for item in items}
    return [
        repository
        for repository in upstream.repositories()
        if system in (repository.systems or [system]) and (repository.is_system or repository.url in used)
    ]


def _source(repository: Repository, folder: Path) -> str:
    """The repository as a line of sources.list, one for each suite."""
    key = _key(repository, folder)
    parts = " ".join(repository.components)
    # apt uses packages of a file: repository where they lie; of a copy: repository it makes copies.
    url = repository.url.replace("file:", "copy:", 1)
    return "\n".join(f"deb [arch=amd64 signed-by={key}] {url} {suite} {parts}".rstrip() for suite in repository.suites)


def _key(repository: Repository, folder: Path) -> Path:
    """File with the repository's key, which has the known fingerprint. Raises UsageError."""
    key = Path(repository.key)
    if "://" in repository.key:
        key = folder / f"{repository.name}.asc"
        programs.run(["curl", "--fail", "--location", "--silent", "--show-error", "--output", str(key), repository.key],
                  f"key of {repository.name}")  # fmt: skip
    elif not key.is_file():
        remedy = "Install the package that brings it, or copy it from a host of that system."
        raise UsageError(f"no file {key}", f"the key of {repository.name}, {repository.fingerprint}", remedy)
    shown = programs.call(["gpg", "--show-keys", "--with-colons", str(key)]).stdout
    found = [line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:")]
    if repository.fingerprint not in found:
        raise UsageError(
            f"{repository.key}: keys {', '.join(found) or 'none'}",
            f"{repository.fingerprint}, which signs {repository.name}",
            "Ask the project whether its key changed, and only then correct mirror/upstream.yml.",
        )
    return key
