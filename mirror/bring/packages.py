"""The lists of the site's apt repository, by apt-ftparchive, signed by the site's key."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

from mirror.tools import programs
from mirror.tools.programs import ToolError

COMPONENT = "main"
NAME = "qwen-onprem"


def publish(repository: Path, suite: str, key: str) -> None:
    """Write and sign the lists of all packages in pool/<suite>, older versions too. Raises ToolError.

    They take the place of the old ones when they are whole.
    """
    partial = repository / "dists" / f".{suite}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    lists = partial / COMPONENT / "binary-amd64"
    lists.mkdir(parents=True)
    packages = _output(repository, "apt-ftparchive", "packages", f"pool/{suite}")
    (lists / "Packages").write_text(packages)
    (lists / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))
    facts = {"Origin": NAME, "Label": NAME, **_named(repository / "dists" / suite)}
    facts |= {"Suite": suite, "Codename": suite, "Architectures": "amd64", "Components": COMPONENT}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in facts.items()]
    (partial / "Release").write_text(_output(repository, "apt-ftparchive", *options, "release", str(partial)))
    signing = ("gpg", "--batch", "--yes", "--local-user", key, "--clearsign")
    _output(repository, *signing, "--output", str(partial / "InRelease"), str(partial / "Release"))
    _replace(partial, repository / "dists" / suite)


def _named(lists: Path) -> dict[str, str]:
    """Origin and label of the present lists: hosts that know them refuse a repository with another name."""
    release = lists / "Release"
    text = release.read_text() if release.is_file() else ""
    return dict(re.findall(r"^(Origin|Label): (.+)$", text, re.MULTILINE))


def _replace(new: Path, old: Path) -> None:
    """Put a folder in place of another one; between the two renames no lists are there, and a client asks again."""
    before = old.with_name(f".{old.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if old.exists():
        old.replace(before)
    new.replace(old)
    shutil.rmtree(before, ignore_errors=True)


def _output(folder: Path, *argv: str) -> str:
    ended = programs.call(argv, folder=folder)
    if ended.returncode:
        words = " / ".join(ended.stderr.strip().splitlines()[-3:])
        raise ToolError(
            f"{argv[0]}: {words}", "signed lists of the repository", "Mend what it names, and import again."
        )
    return ended.stdout
