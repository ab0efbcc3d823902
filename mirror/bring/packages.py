"""The lists of the site's apt repository, by apt-ftparchive, signed by the site's key."""

from __future__ import annotations

import gzip
import re
import shutil
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from mirror.tools import clock, programs
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
    _sign(partial, key)
    _replace(partial, repository / "dists" / suite)


def are_published(repository: Path, suite: str, key: str) -> bool:
    """Whether the lists are of the packages that are there, dated in the past, and signed by this key as it is now.

    They are not after a run that ended before its lists were signed, or whose clock was ahead.
    """
    lists = repository / "dists" / suite
    packages, release = lists / COMPONENT / "binary-amd64/Packages", lists / "InRelease"
    if not (packages.is_file() and release.is_file()):
        return False
    listed = re.findall(r"^Filename: (\S+)$", packages.read_text(), re.MULTILINE)
    there = [str(path.relative_to(repository)) for path in (repository / "pool" / suite).rglob("*.deb")]
    return sorted(listed) == sorted(there) and not _is_ahead(release) and _is_signed(release, key)


def _is_ahead(release: Path) -> bool:
    dates = re.findall(r"^Date: (.+)$", release.read_text(), re.MULTILINE)
    return not dates or parsedate_to_datetime(dates[0]) > datetime.now(timezone.utc)


def _is_signed(release: Path, key: str) -> bool:
    """Whether the signature is good and by this key, which has not expired."""
    told = programs.call(["gpg", "--batch", "--status-fd=1", "--verify", str(release)]).stdout
    known = programs.call(["gpg", "--batch", "--with-colons", "--list-keys", key]).stdout
    signers = set(re.findall(r"^\[GNUPG:\] VALIDSIG (\w+)", told, re.MULTILINE))
    return "[GNUPG:] GOODSIG" in told and bool(signers & set(re.findall(r"^fpr:+(\w+):", known, re.MULTILINE)))


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


def _sign(lists: Path, key: str) -> None:
    """Sign the list of lists. Raises ToolError, with the key's dates: gpg does not say why it takes no key."""
    signing = ("gpg", "--batch", "--yes", "--local-user", key, "--clearsign")
    try:
        _output(lists, *signing, "--output", "InRelease", "Release")
    except ToolError as refused:
        shown = programs.call(["gpg", "--batch", "--list-keys", key]).stdout.splitlines()
        dates = " ".join(next((line for line in shown if line.startswith("pub")), "").split())
        remedy = "Mend what it names, or sign with another key (--apt-key), and import again: it goes on."
        found = f"{refused.found} / {dates}" if dates else refused.found
        raise ToolError(found, refused.needed, clock.remedy(found, remedy)) from refused


def _output(folder: Path, *argv: str) -> str:
    ended = programs.call(argv, folder=folder)
    if ended.returncode:
        words = " / ".join(ended.stderr.strip().splitlines()[-3:])
        remedy = clock.remedy(words, "Mend what it names, and import again: it goes on.")
        raise ToolError(f"{argv[0]}: {words}", "signed lists of the repository", remedy)
    return ended.stdout
