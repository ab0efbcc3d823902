"""Wheels by pip, with the digests of their locks, and archives by curl."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from mirror import systems
from mirror.item import Item
from mirror.needs.files import SOURCE_LOCK
from mirror.tools import programs

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
HASHED = ("--no-deps", "--require-hashes")
# DeepSpeed's extensions need a GPU and its compiler: they are built where they are used.
SOURCE_BUILD = {"DS_BUILD_OPS": "0"}
GZIP = b"\x1f\x8b"
CURL = ("curl", "--fail", "--location", "--silent", "--show-error", "--retry", "3", "--continue-at", "-")


def wheels(items: Sequence[Item], out: Path) -> None:
    """Put the wheels of each lock into out/wheels, those for its Python. Raises ToolError."""
    folder = out / "wheels"
    folder.mkdir(exist_ok=True)
    for group, found in groupby(items, lambda item: item.group):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            for item in found:
                hashes = " ".join(f"--hash={digest}" for digest in item.digests)
                requirements.write(f"{item.name}=={item.version} {hashes}\n")
            requirements.flush()
            programs.run(
                [*_fetch(group, folder), "-r", requirements.name], f"wheels of {group}", environment=_environment()
            )


def _environment() -> dict[str, str]:
    return {**os.environ, **SOURCE_BUILD}


def _fetch(group: str, folder: Path) -> list[str]:
    """pip's command for a lock: the index has some projects as source only, and their wheel is built here."""
    if group.startswith(SOURCE_LOCK):
        return [*PIP, "wheel", *HASHED, "--no-build-isolation", "--wheel-dir", str(folder)]
    python = group.rpartition(" ")[2]
    target = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    target += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    target += [f"--platform={platform}" for platform in systems.platforms(python)]
    return [*PIP, "download", *HASHED, *target, "--dest", str(folder)]


def archives(items: Sequence[Item], out: Path) -> None:
    """Put the archives into out/tools. Raises ToolError, also for a page of text that comes in place of one."""
    folder = out / "tools"
    folder.mkdir(exist_ok=True)
    for item in items:
        file, partial = folder / item.name, folder / f".{item.name}.partial"
        if file.exists():
            continue
        programs.run([*CURL, "--output", str(partial), item.source], item.source)
        with partial.open("rb") as content:
            begins = content.read(len(GZIP))
        if begins[:1] == b"<" or (file.suffix == ".gz" and begins != GZIP):
            partial.unlink()
            needed = "an archive of gzip" if file.suffix == ".gz" else "the file, and no page"
            remedy = "Look at what the address answers, and correct mirror/upstream.yml."
            raise programs.ToolError(f"{item.source} begins with {begins!r}", needed, remedy)
        partial.replace(file)
