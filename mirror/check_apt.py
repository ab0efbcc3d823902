"""Whether the site's apt repository has every package, and by apt's own resolver every dependency."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from qwen_runtime.errors import Fault, UsageError

from .item import Item

FILL = "Fill the mirror again, and write and sign the repository's lists anew."
FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial")
INSTALL = (
    *("apt-get", "install", "--simulate", "--quiet", "--yes", "--no-install-recommends"),
    *("--allow-downgrades", "--allow-change-held-packages"),
)


def missing(items: Sequence[Item], key: Path, authority: Path | None, statuses: Mapping[str, Path]) -> Iterator[Fault]:
    """Faults of all suites. `statuses`: see check.missing. Raises UsageError for a file that is not there."""
    if not key.is_file():
        raise UsageError(f"no file {key}", "the key that signs the site's repository", "Export it there.")
    for suite, members in groupby(items, lambda item: item.group):
        with tempfile.TemporaryDirectory() as folder:
            yield from _Apt(Path(folder), key, authority, statuses.get(suite)).missing(suite, list(members))


class _Apt:
    """apt with a folder of its own, which knows the site's repository and nothing of this machine."""

    def __init__(self, folder: Path, key: Path, authority: Path | None, status: Path | None) -> None:
        self.folder, self.key, self.resolves = folder, key, status is not None
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        installed = folder / "status"
        installed.write_bytes(status.read_bytes() if status else b"")
        settings = {
            "Dir": folder,
            "Dir::State::status": installed,
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "Acquire::EnableSrvRecords": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "0",
        } | ({"Acquire::https::CAInfo": authority} if authority else {})
        (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))

    def missing(self, suite: str, items: Sequence[Item]) -> Iterator[Fault]:
        url = items[0].at.split()[0]
        self._write_source(url, suite)
        update = self._run("apt-get", "update", "--quiet")
        if update.returncode:
            yield Fault(f"apt {suite}", _reason(update), f"lists of {suite} at {url}, signed by {self.key}", FILL)
            return
        versions = self._versions(items)
        there: list[Item] = []
        for item in items:
            have = versions.get(item.name, [])
            if any(fnmatchcase(version, item.version or "*") for version in have):
                there.append(item)
            else:
                found = f"{item.name} {', '.join(have)}" if have else f"no {item.name} in {suite}"
                yield Fault(item.label, found, f"{item.name} {item.version}".strip(), FILL)
        if self.resolves and there:
            yield from self._unresolved(there)

    def _unresolved(self, items: Sequence[Item]) -> Iterator[Fault]:
        """Packages whose dependencies apt cannot find; all at once first, since nearly always nothing is missing."""
        if self._run(*INSTALL, *map(_request, items)).returncode:
            for item in items:
                attempt = self._run(*INSTALL, _request(item))
                if attempt.returncode:
                    yield Fault(item.label, _reason(attempt), "every package that it depends on", FILL)

    def _versions(self, items: Sequence[Item]) -> dict[str, list[str]]:
        """The versions that the repository has, by package."""
        versions: dict[str, list[str]] = {}
        for line in self._run("apt-cache", "madison", *(item.name for item in items)).stdout.splitlines():
            name, version, _ = (column.strip() for column in line.split("|", 2))
            versions.setdefault(name, []).append(version)
        return versions

    def _write_source(self, url: str, suite: str) -> None:
        (self.folder / "etc/apt/sources.list").write_text(f"deb [arch=amd64 signed-by={self.key}] {url} {suite} main\n")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def _request(item: Item) -> str:
    return f"{item.name}={item.version}" if item.version else item.name


def _reason(ended: subprocess.CompletedProcess[str]) -> str:
    """Apt's own words on what is wrong, in one line. It writes missing dependencies to stdout, errors to stderr."""
    lines = [line.strip() for line in (*ended.stdout.splitlines(), *ended.stderr.splitlines())]
    wrong = [line for line in lines if line.startswith(("E:", "Err:")) or " but it is not " in line]
    return "; ".join(dict.fromkeys(wrong)) or f"apt ended with {ended.returncode}"
