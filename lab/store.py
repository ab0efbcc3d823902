"""Cached artefacts: a folder per artefact, named by the key of its inputs, with the digest of every file.

A folder gets its final name only when it is complete. Later damage is noticed before the artefact is used. Files are
read whole once after each boot of the machine; later runs read those whose state has changed (docs/adr/0104).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.paths import CACHE

SUMS = "SHA256SUMS"
BOOT = Path("/proc/sys/kernel/random/boot_id")


def key(*parts: str | bytes | Path) -> str:
    """Short digest of texts, bytes and file contents. Paths do not count: a file that moves keeps its key."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()[:16]


def obtain(name: str, made_from: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """The artefact's folder, and whether it had to be made; `make` fills an empty folder."""
    final = CACHE / name / made_from
    if final.exists():
        damage = damaged(final)
        if not damage:
            return final, False
        print(
            f"      found:  {final / damage[0]} differs from its recorded digest\n"
            f"      needed: the file as it was made\n      remedy: none, {name} is made again",
            flush=True,
        )
        shutil.rmtree(final)
    partial = final.with_name(made_from + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    (partial / SUMS).write_text("".join(f"{d}  {f}\n" for f, d in _digests(partial)))
    for stale in final.parent.iterdir():
        if stale != partial:
            shutil.rmtree(stale)
    partial.rename(final)
    return final, True


def damaged(folder: Path) -> list[str]:
    """Names of files that are missing or differ from SHA256SUMS."""
    sums = folder / SUMS
    # The files' states when all of them last had their digests.
    seen = CACHE / "seen" / folder.parent.relative_to(CACHE).with_suffix(".json")
    if not sums.exists():
        return [SUMS]
    states = _states(folder)
    if seen.exists() and seen.read_text() == states:
        return []
    seen.unlink(missing_ok=True)
    recorded = {line[66:]: line[:64] for line in sums.read_text().splitlines()}
    present = dict(_digests(folder))
    damage = sorted(name for name in recorded.keys() | present.keys() if recorded.get(name) != present.get(name))
    if not damage and states == _states(folder):
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_text(states)
    return damage


def _states(folder: Path) -> str:
    """This boot of the machine, and each file's size and times. No program sets the time of a file's last change."""
    files = {file: file.stat() for file in (*_files(folder), folder / SUMS)}
    facts = {str(f.relative_to(folder)): [s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for f, s in files.items()}
    return json.dumps({"boot": BOOT.read_text(), "key": folder.name, "files": facts})


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS)


def _digests(folder: Path) -> Iterable[tuple[str, str]]:
    files = _files(folder)
    with ThreadPoolExecutor(2) as pool:
        return list(zip((str(p.relative_to(folder)) for p in files), pool.map(sha256, files), strict=True))


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
