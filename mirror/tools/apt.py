"""apt with a folder of its own: it knows the given sources and nothing of this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mirror.item import Item
from mirror.tools import programs
from mirror.tools.growth import Growth, size_of

WRONG = ("E:", "Err:", "The following signatures ")
FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial")


class Apt:
    """An apt of one release. `status`: dpkg's status file that dependencies are resolved against; without it nothing
    is installed yet."""

    def __init__(self, folder: Path, sources: Sequence[str], authority: Path | None, status: Path | None) -> None:
        self.folder = folder
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        installed = folder / "status"
        installed.write_bytes(status.read_bytes() if status else b"")
        (folder / "etc/apt/sources.list").write_text("".join(f"{source}\n" for source in sources))
        settings = {
            "Dir": folder,
            "Dir::State::status": installed,
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "Acquire::EnableSrvRecords": "false",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
        } | ({"Acquire::https::CAInfo": authority} if authority else {})
        (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))

    def update(self) -> subprocess.CompletedProcess[str]:
        return self.run("apt-get", "update", "--quiet")

    def simulate(self, items: Sequence[Item]) -> subprocess.CompletedProcess[str]:
        """Resolve the items' dependencies."""
        return self.run(*self._install(items, "--simulate"))

    def download(self, items: Sequence[Item], into: Path) -> subprocess.CompletedProcess[str]:
        """Put the items' packages and their dependencies into a folder; each line of apt is shown as it comes."""
        argv = self._install(items, "--download-only", f"-oDir::Cache::archives={into}")
        about = ", ".join(sorted({f"packages of {item.group}" for item in items}))
        with Growth(about, self._size_bytes(argv), lambda: size_of(into)) as progress:
            return programs.show(argv, self._environment, progress)

    def files(self, items: Sequence[Item], *, with_dependencies: bool) -> dict[str, int]:
        """Size in bytes by address of the items' packages; with dependencies also of what they bring along."""
        files = self._addresses(["apt-get", "download", *map(request, items)])
        return files | (self._addresses(self._install(items)) if with_dependencies else {})

    def _size_bytes(self, argv: Sequence[str]) -> int:
        """Bytes that a download has still to fetch; 0 where apt refuses it, which the download itself then tells."""
        return sum(self._addresses(argv).values())

    def _addresses(self, argv: Sequence[str]) -> dict[str, int]:
        """Size in bytes by address of what a command of apt would fetch; nothing where apt refuses it."""
        listed = self.run(*argv, "--print-uris").stdout
        return {url: int(size) for url, size in re.findall(r"^'(\S+)' \S+ (\d+) ", listed, re.MULTILINE)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return programs.call(command, environment=self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C.UTF-8"}

    def _install(self, items: Sequence[Item], *options: str) -> list[str]:
        forced = ("--allow-downgrades", "--allow-change-held-packages")
        return ["apt-get", "install", "--quiet", "--yes", *forced, *options, *map(request, items)]


def request(item: Item) -> str:
    return f"{item.name}={item.version}" if item.version else item.name


def reason(ended: subprocess.CompletedProcess[str]) -> str:
    """Apt's own words on what is wrong, in one line. It writes missing dependencies to stdout, errors to stderr."""
    lines = [line.strip() for line in (*ended.stdout.splitlines(), *ended.stderr.splitlines())]
    wrong = [line for line in lines if line.startswith(WRONG) or " but it is not " in line]
    return "; ".join(dict.fromkeys(wrong)) or f"apt ended with {ended.returncode}"
